-- What changed, in the order in which it was committed, kept for some days. The newest event is never removed, so that no
-- sequence comes again; AUTOINCREMENT would see to that too, and write another page with each event.
-- number: of what subject names (experiment_id, run_no, model_no or registered_no, the latter for versions and aliases).
-- experiment_id: NULL for what belongs to the registry.
CREATE TABLE events (
  sequence      INTEGER PRIMARY KEY,
  time          INTEGER NOT NULL,
  principal     TEXT NOT NULL DEFAULT '',
  subject       TEXT NOT NULL,
  number        INTEGER NOT NULL,
  experiment_id INTEGER,
  type          TEXT NOT NULL,
  id            TEXT NOT NULL,
  version       INTEGER NOT NULL DEFAULT 0,
  alias         TEXT NOT NULL DEFAULT '',
  payload       TEXT NOT NULL DEFAULT ''
);
-- Each event is in one of the two.
CREATE INDEX events_of_experiment ON events (experiment_id) WHERE experiment_id IS NOT NULL;
CREATE INDEX events_of_registered_model ON events (number) WHERE experiment_id IS NULL;
