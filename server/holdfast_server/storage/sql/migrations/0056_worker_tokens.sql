-- Tokens that are bound to one run. parent: the token that made it, which ends it when it is revoked. path_prefix: where
-- in the run's tree it may write; empty: everywhere. byte_budget: NULL for none. lifetime: milliseconds that it is good
-- for after each renewal. ended: the run ended, and it is not renewed any more.
CREATE TABLE worker_tokens (
  token_id    TEXT PRIMARY KEY REFERENCES tokens (token_id) ON DELETE CASCADE,
  parent      TEXT NOT NULL REFERENCES tokens (token_id) ON DELETE CASCADE,
  run_id      TEXT NOT NULL,
  path_prefix TEXT NOT NULL,
  byte_budget INTEGER,
  bytes_used  INTEGER NOT NULL DEFAULT 0,
  lifetime    INTEGER NOT NULL,
  renew_time  INTEGER NOT NULL,
  ended       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX worker_tokens_run ON worker_tokens (run_id);
CREATE INDEX worker_tokens_parent ON worker_tokens (parent);
CREATE INDEX worker_tokens_good ON worker_tokens (renew_time) WHERE ended = 0;

-- A later expiry takes nothing away, and workers' tokens get one every few seconds.
DROP TRIGGER access_changes_with_token;
CREATE TRIGGER access_changes_with_token AFTER UPDATE OF hash, ceiling, expire_time, revoke_time ON tokens
WHEN NEW.hash != OLD.hash OR NEW.ceiling != OLD.ceiling OR NEW.revoke_time IS NOT OLD.revoke_time
  OR NEW.expire_time < OLD.expire_time OR (NEW.expire_time IS NOT NULL AND OLD.expire_time IS NULL)
BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
