-- Metrics whose roll-up is still to be begun: those that were there before roll-ups, and those that grew long together.
-- 4,096 is ROLLED_FROM of metric_buckets.py.
CREATE INDEX latest_metrics_without_chart ON latest_metrics (run_no, key) WHERE bucket_shift IS NULL AND points >= 4096;
