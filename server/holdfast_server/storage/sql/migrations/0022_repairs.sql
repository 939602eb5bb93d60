-- repairs: how often a check counted a block as missing. A commit that takes long sees by it whether to look at its blocks again.
ALTER TABLE block_store ADD COLUMN repairs INTEGER NOT NULL DEFAULT 0;
