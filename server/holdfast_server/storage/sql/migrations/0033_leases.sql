-- lost: the run's client did not renew its lease.
ALTER TABLE runs ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;

-- Of running runs whose client takes leases. length: milliseconds; expire_time: NULL when it ran out.
-- embedded: it was taken or renewed through an embedded server, which ends when no client is left.
CREATE TABLE run_leases (
  run_no      INTEGER PRIMARY KEY REFERENCES runs (run_no) ON DELETE CASCADE,
  length      INTEGER NOT NULL,
  renew_time  INTEGER NOT NULL,
  expire_time INTEGER,
  embedded    INTEGER NOT NULL
);
CREATE INDEX run_leases_expire ON run_leases (expire_time) WHERE expire_time IS NOT NULL;

-- When a server last looked after the leases: what lies between that and now, no server did.
CREATE TABLE lease_beat (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  time INTEGER NOT NULL
);
INSERT INTO lease_beat (only, time) VALUES (1, 0);
