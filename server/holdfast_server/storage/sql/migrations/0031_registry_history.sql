-- Next free numbers of names that no registered model has any longer, so that no number of a name is used again.
CREATE TABLE used_model_names (
  name         TEXT PRIMARY KEY,
  next_version INTEGER NOT NULL
) WITHOUT ROWID;

-- Every change of registered models, versions and aliases, for good. It has no foreign keys: it outlives what it tells of.
-- lineage: the registered model, whatever its name, by the number of its first record. name: what it was called before the
-- change. version: 0 for the model.
-- old_value, new_value: NULL where there was or is nothing. principal: empty while nobody is authenticated.
CREATE TABLE registry_history (
  change_no   INTEGER PRIMARY KEY AUTOINCREMENT,
  lineage     INTEGER NOT NULL,
  name        TEXT NOT NULL,
  version     INTEGER NOT NULL DEFAULT 0,
  kind        TEXT NOT NULL,
  key         TEXT NOT NULL DEFAULT '',
  old_value   TEXT,
  new_value   TEXT,
  tree_digest BLOB,
  principal   TEXT NOT NULL DEFAULT '',
  user_id     TEXT NOT NULL DEFAULT '',
  change_time INTEGER NOT NULL
);
CREATE INDEX registry_history_name ON registry_history (name, change_no);
CREATE INDEX registry_history_lineage ON registry_history (lineage, change_no);
CREATE INDEX registry_history_renamed ON registry_history (new_value) WHERE kind = 'MODEL_RENAMED';

-- What is known of the time before.
ALTER TABLE registered_models ADD COLUMN lineage INTEGER NOT NULL DEFAULT 0;
UPDATE registered_models SET lineage = registered_no;
INSERT INTO registry_history (change_no, lineage, name, kind, change_time)
SELECT registered_no, lineage, name, 'MODEL_CREATED', create_time FROM registered_models;
INSERT INTO registry_history (lineage, name, version, kind, new_value, tree_digest, user_id, change_time)
SELECT r.lineage, r.name, v.version, 'VERSION_CREATED', v.source, v.tree_digest, v.user_id, v.create_time
FROM model_versions v JOIN registered_models r ON r.registered_no = v.registered_no ORDER BY v.version_no;

CREATE TRIGGER registry_history_is_not_changed BEFORE UPDATE ON registry_history BEGIN
  SELECT RAISE(ABORT, 'the history of the registry is only ever added to');
END;
CREATE TRIGGER registry_history_is_not_deleted BEFORE DELETE ON registry_history BEGIN
  SELECT RAISE(ABORT, 'the history of the registry is only ever added to');
END;

-- import_id: what was imported as this version; empty when nothing was.
ALTER TABLE model_versions ADD COLUMN import_id TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX model_versions_import ON model_versions (registered_no, import_id) WHERE import_id != '';
