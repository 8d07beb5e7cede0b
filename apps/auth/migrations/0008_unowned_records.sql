-- What was stored before 0005 does not say whose it is, so no sign-out and no administrator would find it.
DELETE FROM "auth"."records" WHERE "model" IN ('Session', 'Grant') AND "account_hash" IS NULL;
