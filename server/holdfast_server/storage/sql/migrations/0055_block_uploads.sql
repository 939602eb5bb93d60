-- Who sent which block lately, while callers are asked who they are: to whom else nothing refers to it that may be read,
-- it counts as missing. Rows of administrators, to whom nothing does, are not kept. Rows go with their block, and when gc
-- finds them as old as it lets uncommitted blocks get.
CREATE TABLE block_uploads (
  block_id  INTEGER NOT NULL REFERENCES blocks (block_id) ON DELETE CASCADE,
  principal TEXT NOT NULL,
  time      INTEGER NOT NULL,
  PRIMARY KEY (block_id, principal)
) WITHOUT ROWID;
