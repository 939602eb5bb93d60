-- next_version is never lowered, so that the number of a deleted version is not used again.
CREATE TABLE registered_models (
  registered_no INTEGER PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  description   TEXT NOT NULL DEFAULT '',
  next_version  INTEGER NOT NULL DEFAULT 1,
  create_time   INTEGER NOT NULL,
  update_time   INTEGER NOT NULL
);

CREATE TABLE registered_model_tags (
  registered_no INTEGER NOT NULL REFERENCES registered_models (registered_no) ON DELETE CASCADE,
  key           TEXT NOT NULL,
  value         TEXT NOT NULL,
  PRIMARY KEY (registered_no, key)
) WITHOUT ROWID;

-- owner, sequence, path: the pinned snapshot and the directory of it that holds the model.
CREATE TABLE model_versions (
  version_no     INTEGER PRIMARY KEY,
  registered_no  INTEGER NOT NULL REFERENCES registered_models (registered_no) ON DELETE CASCADE,
  version        INTEGER NOT NULL,
  source         TEXT NOT NULL,
  run_id         TEXT NOT NULL DEFAULT '',
  model_id       TEXT NOT NULL DEFAULT '',
  owner          TEXT NOT NULL,
  sequence       INTEGER NOT NULL,
  tree_digest    BLOB NOT NULL,
  file_count     INTEGER NOT NULL,
  total_size     INTEGER NOT NULL,
  path           TEXT NOT NULL DEFAULT '',
  status         TEXT NOT NULL,
  status_message TEXT NOT NULL DEFAULT '',
  stage          TEXT NOT NULL DEFAULT 'None',
  description    TEXT NOT NULL DEFAULT '',
  user_id        TEXT NOT NULL DEFAULT '',
  create_time    INTEGER NOT NULL,
  update_time    INTEGER NOT NULL,
  UNIQUE (registered_no, version)
);
CREATE INDEX model_versions_model ON model_versions (model_id) WHERE model_id != '';
CREATE INDEX model_versions_owner ON model_versions (owner);
CREATE INDEX model_versions_run ON model_versions (run_id) WHERE run_id != '';
CREATE INDEX model_versions_newest ON model_versions (create_time DESC);

CREATE TABLE model_version_tags (
  version_no INTEGER NOT NULL REFERENCES model_versions (version_no) ON DELETE CASCADE,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  PRIMARY KEY (version_no, key)
) WITHOUT ROWID;

CREATE TABLE model_aliases (
  registered_no INTEGER NOT NULL,
  alias         TEXT NOT NULL,
  version       INTEGER NOT NULL,
  PRIMARY KEY (registered_no, alias),
  FOREIGN KEY (registered_no, version) REFERENCES model_versions (registered_no, version) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX model_aliases_version ON model_aliases (registered_no, version);
CREATE INDEX model_versions_stage ON model_versions (registered_no, stage, version);
