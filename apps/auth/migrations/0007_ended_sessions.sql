ALTER TABLE "auth"."accounts" ADD COLUMN "sessions_not_before" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "auth"."accounts" ADD COLUMN "kept_session" text;