-- Where a caller said that artifacts belong; kept and told, never used.
ALTER TABLE experiments ADD COLUMN artifact_location TEXT NOT NULL DEFAULT '';
