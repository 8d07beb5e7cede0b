CREATE SCHEMA "auth";
--> statement-breakpoint
CREATE TABLE "auth"."accounts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"username" text NOT NULL,
	"email" text NOT NULL,
	"display_name" text NOT NULL,
	"password_hash" text NOT NULL,
	"roles" text[] DEFAULT '{}'::text[] NOT NULL,
	"disabled_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "accounts_username_unique" UNIQUE("username")
);
--> statement-breakpoint
CREATE TABLE "auth"."records" (
	"model" text NOT NULL,
	"id_hash" text NOT NULL,
	"grant_hash" text,
	"uid_hash" text,
	"payload" text NOT NULL,
	"consumed_at" timestamp with time zone,
	"expires_at" timestamp with time zone,
	CONSTRAINT "records_model_id_hash_pk" PRIMARY KEY("model","id_hash")
);
--> statement-breakpoint
CREATE TABLE "auth"."revocations" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "auth"."revocations_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"kind" text NOT NULL,
	"value" text NOT NULL,
	"not_before" bigint,
	"expires_at" timestamp with time zone NOT NULL,
	"delivered_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "auth"."signing_keys" (
	"kid" text PRIMARY KEY NOT NULL,
	"public_jwk" jsonb NOT NULL,
	"sealed_private_jwk" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "records_grant" ON "auth"."records" USING btree ("grant_hash");--> statement-breakpoint
CREATE INDEX "records_uid" ON "auth"."records" USING btree ("uid_hash");--> statement-breakpoint
CREATE INDEX "records_expiry" ON "auth"."records" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "revocations_value" ON "auth"."revocations" USING btree ("value");--> statement-breakpoint
CREATE INDEX "revocations_undelivered" ON "auth"."revocations" USING btree ("id") WHERE "auth"."revocations"."delivered_at" is null;--> statement-breakpoint
CREATE INDEX "revocations_expiry" ON "auth"."revocations" USING btree ("expires_at");