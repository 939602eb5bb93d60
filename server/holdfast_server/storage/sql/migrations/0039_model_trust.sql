-- Who logged a model, as the server knows: clients load pickles of their own principal by default. Empty: nobody was
-- authenticated. A version keeps it, since it outlives the logged model that it was made of.
ALTER TABLE logged_models ADD COLUMN principal TEXT NOT NULL DEFAULT '';
ALTER TABLE model_versions ADD COLUMN logged_by TEXT NOT NULL DEFAULT '';
-- 1: clients refuse to unpickle versions of this model, whoever logged them.
ALTER TABLE registered_models ADD COLUMN pickle_forbidden INTEGER NOT NULL DEFAULT 0;
