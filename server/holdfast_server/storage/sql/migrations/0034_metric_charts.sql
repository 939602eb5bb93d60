-- points: how many points of this key the run has. bucket_shift: a bucket of its roll-up has 2^shift steps; NULL while
-- there is none, because all points are read in no time.
ALTER TABLE latest_metrics ADD COLUMN points INTEGER NOT NULL DEFAULT 0;
ALTER TABLE latest_metrics ADD COLUMN bucket_shift INTEGER;
UPDATE latest_metrics SET points = (
  SELECT COUNT(*) FROM metric_points p WHERE p.run_no = latest_metrics.run_no AND p.key = latest_metrics.key
);

-- What charts show of metrics with many points. Bucket n has the points of steps from n << shift to before (n + 1) << shift.
-- minimum, maximum: of what is not NaN; NULL when all is. last_special: as in metric_points.
CREATE TABLE metric_buckets (
  run_no       INTEGER NOT NULL,
  key          TEXT NOT NULL,
  bucket       INTEGER NOT NULL,
  points       INTEGER NOT NULL,
  nans         INTEGER NOT NULL,
  minimum      REAL,
  maximum      REAL,
  first_step   INTEGER NOT NULL,
  last_step    INTEGER NOT NULL,
  last_time    INTEGER NOT NULL,
  last_value   REAL NOT NULL,
  last_special INTEGER NOT NULL,
  PRIMARY KEY (run_no, key, bucket)
) WITHOUT ROWID;
