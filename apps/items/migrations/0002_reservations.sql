CREATE TABLE "items"."reservations" (
	"item_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"reserved_by" text NOT NULL,
	"subject" text NOT NULL,
	"quantity" integer NOT NULL,
	"expires_at" timestamp (3) with time zone,
	CONSTRAINT "reservations_item_id_id_pk" PRIMARY KEY("item_id","id")
);
--> statement-breakpoint
ALTER TABLE "items"."reservations" ADD CONSTRAINT "reservations_item_id_items_id_fk" FOREIGN KEY ("item_id") REFERENCES "items"."items"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "reservations_lapsing" ON "items"."reservations" USING btree ("expires_at") WHERE "items"."reservations"."expires_at" is not null;