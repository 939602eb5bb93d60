-- Files that are being written. state: 0 open, 1 closed (an entry of its tree since), 2 replaced by a later one.
-- Those that are not open are remembered for a day. writer: who may append. size: bytes that are durable.
-- in_blocks: how many of them, from the first on, are in live_segments; the others are in live_tails.
-- full: how many are in blocks of full size. update_time: the writer's last sign of life.
CREATE TABLE live_files (
  live_no     INTEGER PRIMARY KEY,
  live_id     TEXT NOT NULL UNIQUE,
  tree_id     INTEGER NOT NULL REFERENCES trees (tree_id) ON DELETE CASCADE,
  path        TEXT NOT NULL,
  writer      TEXT NOT NULL,
  state       INTEGER NOT NULL DEFAULT 0,
  executable  INTEGER NOT NULL DEFAULT 0,
  size        INTEGER NOT NULL DEFAULT 0,
  in_blocks   INTEGER NOT NULL DEFAULT 0,
  full        INTEGER NOT NULL DEFAULT 0,
  open_time   INTEGER NOT NULL,
  update_time INTEGER NOT NULL,
  digest      BLOB,
  sequence    INTEGER
);
CREATE UNIQUE INDEX live_files_open ON live_files (tree_id, path) WHERE state = 0;
CREATE INDEX live_files_tree ON live_files (tree_id);
CREATE INDEX live_files_update_time ON live_files (state, update_time);

-- Pieces of files that are blocks of the store, without gap. Those of a closed one stay until it is forgotten: followers
-- that are a line behind would otherwise each read its last block, of up to 8 MiB. None crosses a multiple of the block size, and the pieces
-- between two multiples become one block as soon as all are there, so that closing only has to make the last block.
CREATE TABLE live_segments (
  live_no  INTEGER NOT NULL REFERENCES live_files (live_no) ON DELETE CASCADE,
  "offset" INTEGER NOT NULL,
  length   INTEGER NOT NULL,
  block_id INTEGER NOT NULL REFERENCES blocks (block_id),
  PRIMARY KEY (live_no, "offset")
) WITHOUT ROWID;
CREATE INDEX live_segments_block ON live_segments (block_id);

-- The last bytes of files, too few to be worth an object of the store. digest: SHA-256 of data.
CREATE TABLE live_tails (
  live_no  INTEGER NOT NULL REFERENCES live_files (live_no) ON DELETE CASCADE,
  "offset" INTEGER NOT NULL,
  data     BLOB NOT NULL,
  digest   BLOB NOT NULL,
  PRIMARY KEY (live_no, "offset")
);
