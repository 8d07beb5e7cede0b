CREATE SCHEMA "sticky-notes";
--> statement-breakpoint
CREATE TABLE "sticky-notes"."sticky_notes" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"owner_id" text NOT NULL,
	"text" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "sticky_notes_newest_of_owner" ON "sticky-notes"."sticky_notes" USING btree ("owner_id","created_at","id");