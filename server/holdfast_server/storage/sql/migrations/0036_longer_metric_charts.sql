-- Metrics whose roll-up is still to be begun, now that it is begun later. 16,384 is ROLLED_FROM of metric_buckets.py.
DROP INDEX latest_metrics_without_chart;
CREATE INDEX latest_metrics_without_chart ON latest_metrics (run_no, key) WHERE bucket_shift IS NULL AND points >= 16384;
