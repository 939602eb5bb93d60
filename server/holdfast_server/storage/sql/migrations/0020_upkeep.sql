-- Work that one process at a time may do on the store. Its holder renews the row; when the holder died, the row expires.
CREATE TABLE leases (
  name        TEXT PRIMARY KEY,
  holder      TEXT NOT NULL,
  description TEXT NOT NULL,
  begin_time  INTEGER NOT NULL,
  expire_time INTEGER NOT NULL
) WITHOUT ROWID;

-- delete_time: NULL while blocks are in the object. Otherwise none is, and from then on it may be removed from the store;
-- the row goes after the object.
ALTER TABLE objects ADD COLUMN delete_time INTEGER;
CREATE INDEX objects_delete_time ON objects (delete_time) WHERE delete_time IS NOT NULL;

-- blocks.state: 1 says that the bytes are lost or damaged. Such a block counts as missing until it is written anew.
CREATE INDEX blocks_lost ON blocks (block_id) WHERE state != 0;

-- kept_from: snapshots before this one cannot be read any more, save those that model versions pin.
-- pruned_to: what this snapshot and those before it replaced is gone. The first commit replaces nothing.
-- purged: 1 when the run or model is gone for good. Only pins hold anything of it then.
-- measured_files, measured_bytes: what the snapshot measured_sequence shows; NULL until somebody asked.
ALTER TABLE trees ADD COLUMN kept_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trees ADD COLUMN pruned_to INTEGER NOT NULL DEFAULT 1;
ALTER TABLE trees ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trees ADD COLUMN measured_sequence INTEGER;
ALTER TABLE trees ADD COLUMN measured_files INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trees ADD COLUMN measured_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX trees_unpruned ON trees (tree_id) WHERE pruned_to < sequence;
CREATE INDEX trees_purged ON trees (tree_id) WHERE purged = 1;

-- Whatever deletes a version, what it pinned is looked at again. Rows of a deleted registered model's versions come here too.
CREATE TRIGGER model_versions_unpin AFTER DELETE ON model_versions BEGIN
  UPDATE trees SET pruned_to = MIN(pruned_to, OLD.sequence - 1) WHERE owner = OLD.owner;
END;

-- lifecycle: 'purged' is out of reach, and goes when nothing hangs on it any more.
CREATE INDEX runs_deleted ON runs (delete_time) WHERE lifecycle = 'deleted';
CREATE INDEX runs_purged ON runs (run_no) WHERE lifecycle = 'purged';
CREATE INDEX logged_models_deleted ON logged_models (delete_time) WHERE lifecycle = 'deleted';
CREATE INDEX logged_models_purged ON logged_models (model_no) WHERE lifecycle = 'purged';
