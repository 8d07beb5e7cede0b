-- What was ordered before there were reservations has none.
UPDATE "orders"."orders" SET "status" = 'cancelled' WHERE "status" = 'pending';--> statement-breakpoint
ALTER TABLE "orders"."order_lines" ALTER COLUMN "name" SET DEFAULT '';--> statement-breakpoint
ALTER TABLE "orders"."order_lines" ALTER COLUMN "unit_price_cents" SET DEFAULT 0;--> statement-breakpoint
ALTER TABLE "orders"."orders" ALTER COLUMN "total_cents" SET DEFAULT 0;--> statement-breakpoint
ALTER TABLE "orders"."orders" ADD COLUMN "release_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "orders"."orders" ADD COLUMN "idempotency_key" text;--> statement-breakpoint
ALTER TABLE "orders"."orders" ADD COLUMN "fingerprint" text;--> statement-breakpoint
CREATE UNIQUE INDEX "orders_key_of_owner" ON "orders"."orders" USING btree ("owner_id","idempotency_key") WHERE "orders"."orders"."status" <> 'abandoned';--> statement-breakpoint
CREATE INDEX "orders_to_release" ON "orders"."orders" USING btree ("release_at") WHERE "orders"."orders"."release_at" is not null;