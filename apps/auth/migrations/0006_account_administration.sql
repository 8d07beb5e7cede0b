ALTER TABLE "auth"."accounts" ALTER COLUMN "created_at" SET DATA TYPE timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "auth"."accounts" ALTER COLUMN "created_at" SET DEFAULT now();--> statement-breakpoint
ALTER TABLE "auth"."accounts" ADD COLUMN "tokens_not_before" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "accounts_newest" ON "auth"."accounts" USING btree ("created_at","id");