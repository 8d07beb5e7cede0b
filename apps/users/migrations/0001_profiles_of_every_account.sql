ALTER TABLE "users"."profiles" DROP CONSTRAINT "profiles_username_unique";--> statement-breakpoint
ALTER TABLE "users"."profiles" ALTER COLUMN "email" DROP NOT NULL;