-- Who may do what. Roles: 0 none, 1 read, 2 write, 3 manage, 4 admin, which only principals and ceilings can be.
CREATE TABLE principals (
  name        TEXT PRIMARY KEY,
  role        INTEGER NOT NULL,
  create_time INTEGER NOT NULL
) WITHOUT ROWID;

-- hash: SHA-256 of the token, which is not kept itself. ceiling: what it allows at most. Times: NULL for never.
CREATE TABLE tokens (
  token_id      TEXT PRIMARY KEY,
  principal     TEXT NOT NULL REFERENCES principals (name) ON DELETE CASCADE,
  hash          BLOB NOT NULL UNIQUE,
  ceiling       INTEGER NOT NULL,
  description   TEXT NOT NULL DEFAULT '',
  create_time   INTEGER NOT NULL,
  expire_time   INTEGER,
  last_use_time INTEGER,
  revoke_time   INTEGER
);
CREATE INDEX tokens_principal ON tokens (principal, create_time);

-- kind: 'experiment' or 'registered_model'. resource: experiments.experiment_id or registered_models.lineage, neither of
-- which is ever used again.
CREATE TABLE grants (
  principal TEXT NOT NULL REFERENCES principals (name) ON DELETE CASCADE,
  kind      TEXT NOT NULL,
  resource  INTEGER NOT NULL,
  role      INTEGER NOT NULL,
  PRIMARY KEY (principal, kind, resource)
) WITHOUT ROWID;
CREATE INDEX grants_resource ON grants (kind, resource);
CREATE INDEX registered_models_lineage ON registered_models (lineage);

-- Grows with whatever may change an answer to who may do what, so that servers notice what others did.
CREATE TABLE access_state (
  only       INTEGER PRIMARY KEY CHECK (only = 1),
  generation INTEGER NOT NULL
);
INSERT INTO access_state (only, generation) VALUES (1, 1);

CREATE TRIGGER access_changes_with_role AFTER UPDATE OF role ON principals BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER access_changes_with_principal AFTER DELETE ON principals BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER access_changes_with_token AFTER UPDATE OF hash, ceiling, expire_time, revoke_time ON tokens BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER access_changes_without_token AFTER DELETE ON tokens BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER access_changes_with_new_grant AFTER INSERT ON grants BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER access_changes_with_grant AFTER UPDATE ON grants BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER access_changes_without_grant AFTER DELETE ON grants BEGIN
  UPDATE access_state SET generation = generation + 1;
END;
CREATE TRIGGER registered_models_end_grants AFTER DELETE ON registered_models BEGIN
  DELETE FROM grants WHERE kind = 'registered_model' AND resource = OLD.lineage;
END;
