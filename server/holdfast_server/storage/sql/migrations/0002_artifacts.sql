-- Objects of the store that hold blocks: one block each, or a pack of small ones.
CREATE TABLE objects (
  object_id   INTEGER PRIMARY KEY,
  object_key  TEXT NOT NULL UNIQUE,
  size        INTEGER NOT NULL,
  create_time INTEGER NOT NULL
);

-- state: 0 present; anything else counts as missing.
CREATE TABLE blocks (
  block_id   INTEGER PRIMARY KEY,
  digest     BLOB NOT NULL UNIQUE,
  size       INTEGER NOT NULL,
  object_id  INTEGER NOT NULL REFERENCES objects (object_id),
  "offset"   INTEGER NOT NULL,
  state      INTEGER NOT NULL DEFAULT 0,
  touch_time INTEGER NOT NULL
);
CREATE INDEX blocks_object ON blocks (object_id);
CREATE INDEX blocks_touch_time ON blocks (touch_time);

-- Ids of commits and files are never used again: a stream that outlives a staged commit, or a reader that outlives a file,
-- must not come upon another's.
-- Contents of files, each stored once however many entries have it. The empty file has a row without blocks.
CREATE TABLE files (
  file_id INTEGER PRIMARY KEY AUTOINCREMENT,
  digest  BLOB NOT NULL UNIQUE,
  size    INTEGER NOT NULL
);
CREATE TABLE file_blocks (
  file_id  INTEGER NOT NULL REFERENCES files (file_id),
  position INTEGER NOT NULL,
  block_id INTEGER NOT NULL REFERENCES blocks (block_id),
  PRIMARY KEY (file_id, position)
) WITHOUT ROWID;
CREATE INDEX file_blocks_block ON file_blocks (block_id);

-- One tree for each run or logged model that ever had artifacts. sequence: its newest visible commit.
CREATE TABLE trees (
  tree_id  INTEGER PRIMARY KEY,
  owner    TEXT NOT NULL UNIQUE,
  sequence INTEGER NOT NULL DEFAULT 0
);

-- sequence: NULL while staged. Digest, count and size describe the whole snapshot and are filled when first asked for.
-- Ids follow the order in which commits began, sequences that in which they were sealed. Two ids, filled when sealing, say how
-- far the orders may differ, so that the newest version of a path is found without a look at all its versions:
-- staged_from: the lowest commit then staged, itself included; no lower one can be sealed later.
-- sealed_to: the highest commit sealed by then; what a snapshot shows has no higher one.
-- begin_time: 0 when given up; such a commit is never sealed and goes at the next maintenance.
CREATE TABLE commits (
  commit_id   INTEGER PRIMARY KEY AUTOINCREMENT,
  tree_id     INTEGER NOT NULL REFERENCES trees (tree_id),
  sequence    INTEGER,
  begin_time  INTEGER NOT NULL,
  commit_time INTEGER,
  staged_from INTEGER,
  sealed_to   INTEGER,
  tree_digest BLOB,
  file_count  INTEGER,
  total_size  INTEGER,
  UNIQUE (tree_id, sequence)
);

-- Every version of every path; the newest one up to a sequence is what its snapshot shows.
-- kind: 0 removed, 1 file, 2 directory. nfc_path: only where normalization changes the path.
CREATE TABLE entries (
  tree_id    INTEGER NOT NULL REFERENCES trees (tree_id),
  path       TEXT NOT NULL,
  commit_id  INTEGER NOT NULL REFERENCES commits (commit_id) ON DELETE CASCADE,
  parent     TEXT NOT NULL,
  nfc_path   TEXT,
  kind       INTEGER NOT NULL,
  executable INTEGER NOT NULL DEFAULT 0,
  file_id    INTEGER REFERENCES files (file_id),
  PRIMARY KEY (tree_id, path, commit_id)
) WITHOUT ROWID;
CREATE INDEX entries_parent ON entries (tree_id, parent, path);
CREATE INDEX entries_commit ON entries (commit_id);
CREATE INDEX entries_nfc ON entries (nfc_path, tree_id, commit_id) WHERE nfc_path IS NOT NULL;
CREATE INDEX entries_file ON entries (file_id);
