-- Roll-ups that are no longer fed, or were not for a while, are made anew: those of metrics with fewer points than a
-- roll-up is begun at now (16,384, ROLLED_FROM of metric_buckets.py), and those that lack points.
UPDATE latest_metrics SET bucket_shift = NULL
WHERE bucket_shift IS NOT NULL AND (
  points < 16384
  OR points IS NOT (
    SELECT SUM(b.points) FROM metric_buckets b WHERE b.run_no = latest_metrics.run_no AND b.key = latest_metrics.key
  )
);
DELETE FROM metric_buckets WHERE NOT EXISTS (
  SELECT 1 FROM latest_metrics l
  WHERE l.run_no = metric_buckets.run_no AND l.key = metric_buckets.key AND l.bucket_shift IS NOT NULL
);
