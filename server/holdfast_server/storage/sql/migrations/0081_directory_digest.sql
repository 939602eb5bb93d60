-- Digest of the directory (path) that a version is, as if it were a tree: who may read the registered model alone reads that,
-- and could not check it against tree_digest, which is of the whole run. Empty: path is, or has too many entries.
ALTER TABLE model_versions ADD COLUMN directory_digest BLOB NOT NULL DEFAULT x'';
