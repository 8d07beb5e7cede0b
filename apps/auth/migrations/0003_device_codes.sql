CREATE TABLE "auth"."code_guesses" (
	"guesser_hash" text PRIMARY KEY NOT NULL,
	"guesses" integer NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "auth"."device_codes" (
	"id_hash" text PRIMARY KEY NOT NULL,
	"sealed_id" text NOT NULL,
	"user_code_hash" text NOT NULL,
	"first_half_hash" text NOT NULL,
	"guesses" integer DEFAULT 0 NOT NULL,
	"claimed_at" timestamp with time zone,
	"polled_at" timestamp with time zone,
	"interval_seconds" integer NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "device_codes_user_code_hash_unique" UNIQUE("user_code_hash")
);
--> statement-breakpoint
CREATE INDEX "code_guesses_expiry" ON "auth"."code_guesses" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "device_codes_first_half" ON "auth"."device_codes" USING btree ("first_half_hash");--> statement-breakpoint
CREATE INDEX "device_codes_expiry" ON "auth"."device_codes" USING btree ("expires_at");