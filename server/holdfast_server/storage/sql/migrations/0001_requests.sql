-- Answers of mutations by request id, kept seven days so that a retry has one effect and the same answer.
CREATE TABLE requests (
  principal    TEXT NOT NULL,
  request_id   TEXT NOT NULL,
  method       TEXT NOT NULL,
  payload_hash BLOB NOT NULL,
  answer       BLOB NOT NULL,
  create_time  INTEGER NOT NULL,
  PRIMARY KEY (principal, request_id)
);
CREATE INDEX requests_create_time ON requests (create_time);

-- The one store that holds this database's blocks: an id that is also an object in it, and how it was configured.
CREATE TABLE block_store (
  store_id    TEXT PRIMARY KEY,
  description TEXT NOT NULL DEFAULT ''
);
INSERT INTO block_store (store_id) VALUES (lower(hex(randomblob(16))));
