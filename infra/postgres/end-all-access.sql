-- Ends all that the authorization server has ever given away: sessions, refresh tokens, codes, and the keys that signed tokens.
-- Accounts, consents and the audit log stay. Run it in auth's database while auth is stopped: docs/operations.md.
BEGIN;
INSERT INTO auth.audit_events (event, outcome, actor_id, detail)
SELECT 'key-removal', 'success', 'database', jsonb_build_object('kid', kid) FROM auth.signing_keys WHERE removed_at IS NULL;
UPDATE auth.signing_keys SET removed_at = now(), sealed_private_jwk = '' WHERE removed_at IS NULL;
TRUNCATE auth.records, auth.device_codes, auth.code_guesses, auth.logout_deliveries;
COMMIT;
