CREATE TABLE "auth"."audit_events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "auth"."audit_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"event" text NOT NULL,
	"outcome" text NOT NULL,
	"account_id" uuid,
	"actor_id" text,
	"client_id" text,
	"address" text,
	"request_id" text,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "auth"."consents" (
	"account_id" uuid NOT NULL,
	"client_id" text NOT NULL,
	"openid_scopes" text[] NOT NULL,
	"api_scopes" text[] NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "consents_account_id_client_id_pk" PRIMARY KEY("account_id","client_id")
);
--> statement-breakpoint
CREATE TABLE "auth"."logout_deliveries" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "auth"."logout_deliveries_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"client_id" text NOT NULL,
	"account_id" uuid NOT NULL,
	"sealed_sid" text NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp with time zone DEFAULT now() NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "auth"."records" ADD COLUMN "account_hash" text;--> statement-breakpoint
ALTER TABLE "auth"."records" ADD COLUMN "client_hash" text;--> statement-breakpoint
ALTER TABLE "auth"."consents" ADD CONSTRAINT "consents_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "auth"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_events_account" ON "auth"."audit_events" USING btree ("account_id","id");--> statement-breakpoint
CREATE INDEX "audit_events_at" ON "auth"."audit_events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "logout_deliveries_due" ON "auth"."logout_deliveries" USING btree ("next_attempt_at");--> statement-breakpoint
CREATE INDEX "records_account" ON "auth"."records" USING btree ("account_hash");--> statement-breakpoint
-- Rows are added, and deleted when no retention is that short.
CREATE FUNCTION "auth"."keep_audit_event"() RETURNS trigger AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.at < now() - interval '30 days' THEN RETURN OLD; END IF;
  RAISE EXCEPTION 'audit events are append-only';
END
$$ LANGUAGE plpgsql;--> statement-breakpoint
CREATE TRIGGER "audit_events_append_only" BEFORE UPDATE OR DELETE ON "auth"."audit_events"
FOR EACH ROW EXECUTE FUNCTION "auth"."keep_audit_event"();--> statement-breakpoint
CREATE TRIGGER "audit_events_no_truncate" BEFORE TRUNCATE ON "auth"."audit_events"
FOR EACH STATEMENT EXECUTE FUNCTION "auth"."keep_audit_event"();
