-- Where the run of a version can be looked at; for people.
ALTER TABLE model_versions ADD COLUMN run_link TEXT NOT NULL DEFAULT '';
