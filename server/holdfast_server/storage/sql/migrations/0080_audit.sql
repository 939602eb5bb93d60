-- Who changed what: one row for each change, or for several alike that came between two seals. Numbers have no gaps: what a
-- transaction that was rolled back took is given again. Times: milliseconds since 1970. resources: a JSON list of texts.
-- docs/audit.md says how a segment's hash is made of them.
CREATE TABLE audit_records (
  number     INTEGER PRIMARY KEY AUTOINCREMENT,
  time       INTEGER NOT NULL,
  last_time  INTEGER NOT NULL,
  count      INTEGER NOT NULL,
  principal  TEXT NOT NULL,
  token_id   TEXT NOT NULL,
  method     TEXT NOT NULL,
  resources  TEXT NOT NULL,
  request_id TEXT NOT NULL,
  details    TEXT NOT NULL
);
CREATE INDEX audit_records_principal ON audit_records (principal, number);
CREATE INDEX audit_records_time ON audit_records (time);

-- Where records of a resource are, to find them; no part of what is sealed.
CREATE TABLE audit_resources (
  resource TEXT NOT NULL,
  number   INTEGER NOT NULL,
  PRIMARY KEY (resource, number)
) WITHOUT ROWID;

-- Records that count further calls alike, until they are sealed.
CREATE TABLE audit_open (
  principal TEXT NOT NULL,
  token_id  TEXT NOT NULL,
  method    TEXT NOT NULL,
  resources TEXT NOT NULL,
  number    INTEGER NOT NULL,
  PRIMARY KEY (principal, token_id, method, resources)
) WITHOUT ROWID;

CREATE TABLE audit_segments (
  segment       INTEGER PRIMARY KEY,
  first_number  INTEGER NOT NULL,
  last_number   INTEGER NOT NULL,
  seal_time     INTEGER NOT NULL,
  previous_hash BLOB NOT NULL,
  hash          BLOB NOT NULL
);

-- Against mistakes of the server; whoever writes to the file by other means removes them first, and is found by the hashes.
CREATE TRIGGER audit_records_stay_as_sealed BEFORE UPDATE ON audit_records
WHEN OLD.number <= (SELECT last_number FROM audit_segments ORDER BY segment DESC LIMIT 1) BEGIN
  SELECT RAISE(ABORT, 'a sealed record of the audit log is never changed');
END;
CREATE TRIGGER audit_records_stay BEFORE DELETE ON audit_records BEGIN
  SELECT RAISE(ABORT, 'a record of the audit log is never deleted');
END;
CREATE TRIGGER audit_segments_stay_as_sealed BEFORE UPDATE ON audit_segments BEGIN
  SELECT RAISE(ABORT, 'a segment of the audit log is never changed');
END;
CREATE TRIGGER audit_segments_stay BEFORE DELETE ON audit_segments BEGIN
  SELECT RAISE(ABORT, 'a segment of the audit log is never deleted');
END;
