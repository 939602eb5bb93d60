-- Keys that this database signs with, so that every process on it accepts what another signed.
CREATE TABLE signing_keys (
  purpose    TEXT PRIMARY KEY,
  secret_key BLOB NOT NULL
);
INSERT INTO signing_keys (purpose, secret_key) VALUES ('page_token', randomblob(32));

-- Names stay reserved while an experiment is deleted. Times here and below are milliseconds since 1970.
CREATE TABLE experiments (
  experiment_id INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT NOT NULL UNIQUE,
  lifecycle     TEXT NOT NULL DEFAULT 'active',
  create_time   INTEGER NOT NULL,
  update_time   INTEGER NOT NULL
);
INSERT INTO experiments (experiment_id, name, create_time, update_time)
VALUES (0, 'Default', CAST(strftime('%s', 'now') AS INTEGER) * 1000, CAST(strftime('%s', 'now') AS INTEGER) * 1000);
CREATE INDEX experiments_newest ON experiments (create_time DESC, experiment_id);

CREATE TABLE experiment_tags (
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id) ON DELETE CASCADE,
  key           TEXT NOT NULL,
  value         TEXT NOT NULL,
  PRIMARY KEY (experiment_id, key)
) WITHOUT ROWID;

-- run_no: a short name for rows that hang on a run. points: metric points it ever got; numbers them in order of arrival.
-- deleted_with_experiment: restoring the experiment brings this run back.
CREATE TABLE runs (
  run_no        INTEGER PRIMARY KEY,
  run_id        TEXT NOT NULL UNIQUE,
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id),
  run_name      TEXT NOT NULL,
  user_id       TEXT NOT NULL DEFAULT '',
  status        TEXT NOT NULL,
  lifecycle     TEXT NOT NULL DEFAULT 'active',
  start_time    INTEGER NOT NULL,
  end_time      INTEGER,
  delete_time   INTEGER,
  deleted_with_experiment INTEGER NOT NULL DEFAULT 0,
  points        INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX runs_newest ON runs (experiment_id, lifecycle, start_time DESC, run_id);

CREATE TABLE run_params (
  run_no INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,
  PRIMARY KEY (run_no, key)
) WITHOUT ROWID;

CREATE TABLE run_tags (
  run_no INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,
  PRIMARY KEY (run_no, key)
) WITHOUT ROWID;

-- Every point ever logged, append only; the primary key is the order in which they are paged.
-- special: 1 NaN, 2 -0.0, which SQLite cannot hold; value is then 0, which is also what NaN counts as when compared.
-- No foreign key: it would be looked up for each of a thousand points, and the run is known to be there.
CREATE TABLE metric_points (
  run_no         INTEGER NOT NULL,
  key            TEXT NOT NULL,
  step           INTEGER NOT NULL,
  timestamp      INTEGER NOT NULL,
  point          INTEGER NOT NULL,
  value          REAL NOT NULL,
  special         INTEGER NOT NULL,
  model_id       TEXT NOT NULL,
  dataset_name   TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  PRIMARY KEY (run_no, key, step, timestamp, point)
) WITHOUT ROWID;

-- The newest point of each key, by step, timestamp and value.
CREATE TABLE latest_metrics (
  run_no         INTEGER NOT NULL,
  key            TEXT NOT NULL,
  step           INTEGER NOT NULL,
  timestamp      INTEGER NOT NULL,
  value          REAL NOT NULL,
  special         INTEGER NOT NULL,
  model_id       TEXT NOT NULL,
  dataset_name   TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  PRIMARY KEY (run_no, key)
) WITHOUT ROWID;

-- How far each writer's stream of metrics is kept, so that a replay however late adds nothing twice.
CREATE TABLE run_writers (
  run_no        INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  writer_id     TEXT NOT NULL,
  next_sequence INTEGER NOT NULL,
  PRIMARY KEY (run_no, writer_id)
) WITHOUT ROWID;

CREATE TABLE datasets (
  dataset_no    INTEGER PRIMARY KEY,
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id) ON DELETE CASCADE,
  name          TEXT NOT NULL,
  digest        TEXT NOT NULL,
  source_type   TEXT NOT NULL,
  source        TEXT NOT NULL,
  schema        TEXT NOT NULL,
  profile       TEXT NOT NULL,
  UNIQUE (experiment_id, name, digest)
);

CREATE TABLE run_datasets (
  run_no     INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  dataset_no INTEGER NOT NULL REFERENCES datasets (dataset_no),
  PRIMARY KEY (run_no, dataset_no)
) WITHOUT ROWID;
CREATE INDEX run_datasets_dataset ON run_datasets (dataset_no);

CREATE TABLE run_dataset_tags (
  run_no     INTEGER NOT NULL,
  dataset_no INTEGER NOT NULL,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  PRIMARY KEY (run_no, dataset_no, key),
  FOREIGN KEY (run_no, dataset_no) REFERENCES run_datasets (run_no, dataset_no) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE run_model_inputs (
  run_no   INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  model_id TEXT NOT NULL,
  PRIMARY KEY (run_no, model_id)
) WITHOUT ROWID;

CREATE TABLE run_model_outputs (
  run_no   INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  model_id TEXT NOT NULL,
  step     INTEGER NOT NULL,
  PRIMARY KEY (run_no, model_id)
) WITHOUT ROWID;

-- source_run_id: empty when no run logged it.
CREATE TABLE logged_models (
  model_no       INTEGER PRIMARY KEY,
  model_id       TEXT NOT NULL UNIQUE,
  experiment_id  INTEGER NOT NULL REFERENCES experiments (experiment_id),
  name           TEXT NOT NULL,
  source_run_id  TEXT NOT NULL DEFAULT '',
  model_type     TEXT NOT NULL DEFAULT '',
  status         TEXT NOT NULL DEFAULT 'PENDING',
  status_message TEXT NOT NULL DEFAULT '',
  lifecycle      TEXT NOT NULL DEFAULT 'active',
  delete_time    INTEGER,
  create_time    INTEGER NOT NULL,
  update_time    INTEGER NOT NULL
);
CREATE INDEX logged_models_newest ON logged_models (experiment_id, lifecycle, create_time DESC, model_id);
CREATE INDEX logged_models_run ON logged_models (source_run_id, name, create_time) WHERE source_run_id != '';

CREATE TABLE model_params (
  model_no INTEGER NOT NULL REFERENCES logged_models (model_no) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (model_no, key)
) WITHOUT ROWID;

CREATE TABLE model_tags (
  model_no INTEGER NOT NULL REFERENCES logged_models (model_no) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (model_no, key)
) WITHOUT ROWID;

-- The newest point of each key and dataset that runs logged for a model.
CREATE TABLE model_metrics (
  model_no       INTEGER NOT NULL,
  key            TEXT NOT NULL,
  dataset_name   TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  step           INTEGER NOT NULL,
  timestamp      INTEGER NOT NULL,
  value          REAL NOT NULL,
  special         INTEGER NOT NULL,
  run_no         INTEGER NOT NULL,
  PRIMARY KEY (model_no, key, dataset_name, dataset_digest)
) WITHOUT ROWID;
