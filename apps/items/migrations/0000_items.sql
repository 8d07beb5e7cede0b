CREATE SCHEMA "items";
--> statement-breakpoint
CREATE TABLE "items"."items" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"owner_id" text NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"price_cents" integer NOT NULL,
	"currency" text DEFAULT 'EUR' NOT NULL,
	"stock" integer NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "items_newest" ON "items"."items" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "items_newest_of_owner" ON "items"."items" USING btree ("owner_id","created_at","id");