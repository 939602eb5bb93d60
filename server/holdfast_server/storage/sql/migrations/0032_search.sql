-- A search begins here when few rows match a condition, or when it is ordered by a metric. Each holds all that is looked
-- at, so that the rows themselves are read only when they match.
CREATE INDEX latest_metrics_by_value ON latest_metrics (key, value, special);
CREATE INDEX run_params_by_value ON run_params (key, value);
CREATE INDEX run_tags_by_value ON run_tags (key, value);
-- The newest of several experiments; runs_newest has them one by one.
CREATE INDEX runs_by_time ON runs (start_time DESC, run_id, experiment_id, lifecycle);
