BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'holdfast','0001_requests','2026-11-30 19:10:31.683093+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'holdfast','0002_artifacts','2026-11-30 19:10:31.683891+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'holdfast','0010_tracking','2026-11-30 19:10:31.708292+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'holdfast','0011_registry','2026-11-30 19:10:31.717943+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'holdfast','0020_upkeep','2026-11-30 19:10:31.756192+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'holdfast','0021_live_artifacts','2026-11-30 19:10:31.760872+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'holdfast','0022_repairs','2026-11-30 19:10:31.782722+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'holdfast','0030_events','2026-11-30 19:10:31.783469+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'holdfast','0031_registry_history','2026-11-30 19:10:31.818853+00:00');
INSERT INTO "_sqlite_migrations" VALUES(10,'holdfast','0032_search','2026-11-30 19:10:31.819750+00:00');
INSERT INTO "_sqlite_migrations" VALUES(11,'holdfast','0033_leases','2026-11-30 19:10:31.846316+00:00');
INSERT INTO "_sqlite_migrations" VALUES(12,'holdfast','0034_metric_charts','2026-11-30 19:10:31.848612+00:00');
INSERT INTO "_sqlite_migrations" VALUES(13,'holdfast','0035_metric_charts_to_begin','2026-11-30 19:10:31.893531+00:00');
INSERT INTO "_sqlite_migrations" VALUES(14,'holdfast','0036_longer_metric_charts','2026-11-30 19:10:31.894249+00:00');
INSERT INTO "_sqlite_migrations" VALUES(15,'holdfast','0037_artifact_location','2026-11-30 19:10:31.895532+00:00');
INSERT INTO "_sqlite_migrations" VALUES(16,'holdfast','0038_run_links','2026-11-30 19:10:31.896674+00:00');
INSERT INTO "_sqlite_migrations" VALUES(17,'holdfast','0039_model_trust','2026-11-30 19:10:31.936075+00:00');
INSERT INTO "_sqlite_migrations" VALUES(18,'holdfast','0040_metric_charts_anew','2026-11-30 19:10:31.936800+00:00');
CREATE TABLE block_store (
  store_id    TEXT PRIMARY KEY,
  description TEXT NOT NULL DEFAULT ''
, repairs INTEGER NOT NULL DEFAULT 0);
INSERT INTO "block_store" VALUES('ed2652b966041b4db003b9c8db8d74d7','its data directory',0);
CREATE TABLE blocks (
  block_id   INTEGER PRIMARY KEY,
  digest     BLOB NOT NULL UNIQUE,
  size       INTEGER NOT NULL,
  object_id  INTEGER NOT NULL REFERENCES objects (object_id),
  "offset"   INTEGER NOT NULL,
  state      INTEGER NOT NULL DEFAULT 0,
  touch_time INTEGER NOT NULL
);
INSERT INTO "blocks" VALUES(1,X'84C4260CA2EF268D64F9EFCCDB00A17C38149773436B0F1C19EFCAFC2EB01220',11,1,0,0,1796065832913);
INSERT INTO "blocks" VALUES(2,X'AB5AA97074C454A0632057E704220D9A6678FBF773A0A5806FC09B8173B07309',5,2,0,0,1796065832981);
INSERT INTO "blocks" VALUES(3,X'267F6C10FDF12927E45FC1BF0609CBF2A2B357CC2EB9E8086A35D96FC6AFE376',660000,3,0,0,1796065833581);
INSERT INTO "blocks" VALUES(4,X'20C6FADE49C20215DF0ECB82356CF76DA9DA5542BC5F4CFD43DF3D49EFB6F53B',660010,4,0,0,1796065833720);
CREATE TABLE commits (
  commit_id   INTEGER PRIMARY KEY AUTOINCREMENT,
  tree_id     INTEGER NOT NULL REFERENCES trees (tree_id),
  sequence    INTEGER,
  begin_time  INTEGER NOT NULL,
  commit_time INTEGER,
  staged_from INTEGER,
  sealed_to   INTEGER,
  tree_digest BLOB,
  file_count  INTEGER,
  total_size  INTEGER,
  UNIQUE (tree_id, sequence)
);
INSERT INTO "commits" VALUES(1,1,1,1796065832913,1796065832913,1,1,NULL,NULL,NULL);
INSERT INTO "commits" VALUES(2,1,2,1796065832981,1796065832981,2,2,NULL,NULL,NULL);
INSERT INTO "commits" VALUES(4,1,3,1796065833720,1796065833720,4,4,NULL,NULL,NULL);
CREATE TABLE datasets (
  dataset_no    INTEGER PRIMARY KEY,
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id) ON DELETE CASCADE,
  name          TEXT NOT NULL,
  digest        TEXT NOT NULL,
  source_type   TEXT NOT NULL,
  source        TEXT NOT NULL,
  schema        TEXT NOT NULL,
  profile       TEXT NOT NULL,
  UNIQUE (experiment_id, name, digest)
);
INSERT INTO "datasets" VALUES(1,1,'train','d1','local','{}','','');
CREATE TABLE entries (
  tree_id    INTEGER NOT NULL REFERENCES trees (tree_id),
  path       TEXT NOT NULL,
  commit_id  INTEGER NOT NULL REFERENCES commits (commit_id) ON DELETE CASCADE,
  parent     TEXT NOT NULL,
  nfc_path   TEXT,
  kind       INTEGER NOT NULL,
  executable INTEGER NOT NULL DEFAULT 0,
  file_id    INTEGER REFERENCES files (file_id),
  PRIMARY KEY (tree_id, path, commit_id)
) WITHOUT ROWID;
INSERT INTO "entries" VALUES(1,'log.txt',4,'',NULL,1,0,4);
INSERT INTO "entries" VALUES(1,'model',1,'',NULL,2,0,NULL);
INSERT INTO "entries" VALUES(1,'model/MLmodel',1,'model',NULL,1,0,1);
INSERT INTO "entries" VALUES(1,'notes.txt',2,'',NULL,1,0,2);
CREATE TABLE events (
  sequence      INTEGER PRIMARY KEY,
  time          INTEGER NOT NULL,
  principal     TEXT NOT NULL DEFAULT '',
  subject       TEXT NOT NULL,
  number        INTEGER NOT NULL,
  experiment_id INTEGER,
  type          TEXT NOT NULL,
  id            TEXT NOT NULL,
  version       INTEGER NOT NULL DEFAULT 0,
  alias         TEXT NOT NULL DEFAULT '',
  payload       TEXT NOT NULL DEFAULT ''
);
INSERT INTO "events" VALUES(1,1796065832731,'','EXPERIMENT',1,1,'CREATED','1',0,'','{"c":[["name",null,"vision"],["tags.team",null,"a"]]}');
INSERT INTO "events" VALUES(2,1796065832741,'','RUN',1,1,'CREATED','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["name",null,"first"],["status",null,"RUNNING"]]}');
INSERT INTO "events" VALUES(3,1796065832748,'','RUN',1,1,'UPDATED','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["params.lr",null,"0.1"]]}');
INSERT INTO "events" VALUES(4,1796065832754,'','RUN',1,1,'METRICS','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"m":[["loss",0.25,1,1,2]]}');
INSERT INTO "events" VALUES(5,1796065832800,'','LOGGED_MODEL',1,1,'CREATED','m-433402c47a2d2fc25dab91f19f41f3d7',0,'','{"c":[["name",null,"net"],["status",null,"PENDING"]]}');
INSERT INTO "events" VALUES(6,1796065832833,'','RUN',1,1,'METRICS','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"m":[["nan",NaN,1796065832782,0,1],["inf",Infinity,1796065832782,0,1]]}');
INSERT INTO "events" VALUES(7,1796065832864,'','RUN',1,1,'UPDATED','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["dataset_inputs",null,"train d1"],["model_inputs",null,"m-433402c47a2d2fc25dab91f19f41f3d7"]]}');
INSERT INTO "events" VALUES(8,1796065832875,'','RUN',1,1,'UPDATED','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["model_outputs",null,"m-433402c47a2d2fc25dab91f19f41f3d7"]]}');
INSERT INTO "events" VALUES(9,1796065832893,'','RUN',1,1,'METRICS','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"m":[["accuracy",0.9,1796065832884,0,1]]}');
INSERT INTO "events" VALUES(10,1796065832913,'','RUN',1,1,'ARTIFACTS','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["artifacts",null,"1"]]}');
INSERT INTO "events" VALUES(11,1796065832981,'','RUN',1,1,'ARTIFACTS','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["artifacts",null,"2"]]}');
INSERT INTO "events" VALUES(12,1796065833054,'','REGISTERED_MODEL',1,NULL,'CREATED','classifier',0,'','{"c":[["description",null,"what it is"],["tags.owner",null,"b"]]}');
INSERT INTO "events" VALUES(13,1796065833223,'','MODEL_VERSION',1,NULL,'CREATED','classifier',1,'','{"c":[["source",null,"runs:/6bf447ed4016597c6b7a82b49a02a95c/model"],["tags.checked",null,"yes"]]}');
INSERT INTO "events" VALUES(14,1796065833250,'','MODEL_VERSION',1,NULL,'CREATED','classifier',2,'','{"c":[["source",null,"runs:/6bf447ed4016597c6b7a82b49a02a95c/model"],["tags.checked",null,"yes"]]}');
INSERT INTO "events" VALUES(15,1796065833288,'','ALIAS',1,NULL,'CREATED','classifier',2,'champion','{"c":[["version",null,"2"]]}');
INSERT INTO "events" VALUES(16,1796065833309,'','REGISTERED_MODEL',2,NULL,'CREATED','gone',0,'','');
INSERT INTO "events" VALUES(17,1796065833391,'','REGISTERED_MODEL',2,NULL,'DELETED','gone',0,'','');
INSERT INTO "events" VALUES(18,1796065833406,'','RUN',2,1,'CREATED','9f83ee7e8de31330114a82d119459259',0,'','{"c":[["name",null,"deleted"],["status",null,"RUNNING"]]}');
INSERT INTO "events" VALUES(19,1796065833419,'','RUN',2,1,'DELETED','9f83ee7e8de31330114a82d119459259',0,'','');
INSERT INTO "events" VALUES(20,1796065833720,'','RUN',1,1,'ARTIFACTS','6bf447ed4016597c6b7a82b49a02a95c',0,'','{"c":[["artifacts",null,"3"]]}');
CREATE TABLE experiment_tags (
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id) ON DELETE CASCADE,
  key           TEXT NOT NULL,
  value         TEXT NOT NULL,
  PRIMARY KEY (experiment_id, key)
) WITHOUT ROWID;
INSERT INTO "experiment_tags" VALUES(1,'team','a');
CREATE TABLE experiments (
  experiment_id INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT NOT NULL UNIQUE,
  lifecycle     TEXT NOT NULL DEFAULT 'active',
  create_time   INTEGER NOT NULL,
  update_time   INTEGER NOT NULL
, artifact_location TEXT NOT NULL DEFAULT '');
INSERT INTO "experiments" VALUES(0,'Default','active',1796065831000,1796065831000,'');
INSERT INTO "experiments" VALUES(1,'vision','active',1796065832731,1796065832731,'');
CREATE TABLE file_blocks (
  file_id  INTEGER NOT NULL REFERENCES files (file_id),
  position INTEGER NOT NULL,
  block_id INTEGER NOT NULL REFERENCES blocks (block_id),
  PRIMARY KEY (file_id, position)
) WITHOUT ROWID;
INSERT INTO "file_blocks" VALUES(1,0,1);
INSERT INTO "file_blocks" VALUES(2,0,2);
INSERT INTO "file_blocks" VALUES(4,0,4);
CREATE TABLE files (
  file_id INTEGER PRIMARY KEY AUTOINCREMENT,
  digest  BLOB NOT NULL UNIQUE,
  size    INTEGER NOT NULL
);
INSERT INTO "files" VALUES(1,X'84C4260CA2EF268D64F9EFCCDB00A17C38149773436B0F1C19EFCAFC2EB01220',11);
INSERT INTO "files" VALUES(2,X'AB5AA97074C454A0632057E704220D9A6678FBF773A0A5806FC09B8173B07309',5);
INSERT INTO "files" VALUES(3,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855',0);
INSERT INTO "files" VALUES(4,X'20C6FADE49C20215DF0ECB82356CF76DA9DA5542BC5F4CFD43DF3D49EFB6F53B',660010);
CREATE TABLE latest_metrics (
  run_no         INTEGER NOT NULL,
  key            TEXT NOT NULL,
  step           INTEGER NOT NULL,
  timestamp      INTEGER NOT NULL,
  value          REAL NOT NULL,
  special         INTEGER NOT NULL,
  model_id       TEXT NOT NULL,
  dataset_name   TEXT NOT NULL,
  dataset_digest TEXT NOT NULL, points INTEGER NOT NULL DEFAULT 0, bucket_shift INTEGER,
  PRIMARY KEY (run_no, key)
) WITHOUT ROWID;
INSERT INTO "latest_metrics" VALUES(1,'accuracy',0,1796065832884,0.9,0,'m-433402c47a2d2fc25dab91f19f41f3d7','','',1,NULL);
INSERT INTO "latest_metrics" VALUES(1,'inf',0,1796065832782,9e999,0,'','','',1,NULL);
INSERT INTO "latest_metrics" VALUES(1,'loss',1,1,0.25,0,'','','',2,NULL);
INSERT INTO "latest_metrics" VALUES(1,'nan',0,1796065832782,0.0,1,'','','',1,NULL);
CREATE TABLE lease_beat (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  time INTEGER NOT NULL
);
INSERT INTO "lease_beat" VALUES(1,0);
CREATE TABLE leases (
  name        TEXT PRIMARY KEY,
  holder      TEXT NOT NULL,
  description TEXT NOT NULL,
  begin_time  INTEGER NOT NULL,
  expire_time INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "leases" VALUES('upkeep','h','Process 1',1,2);
CREATE TABLE live_files (
  live_no     INTEGER PRIMARY KEY,
  live_id     TEXT NOT NULL UNIQUE,
  tree_id     INTEGER NOT NULL REFERENCES trees (tree_id) ON DELETE CASCADE,
  path        TEXT NOT NULL,
  writer      TEXT NOT NULL,
  state       INTEGER NOT NULL DEFAULT 0,
  executable  INTEGER NOT NULL DEFAULT 0,
  size        INTEGER NOT NULL DEFAULT 0,
  in_blocks   INTEGER NOT NULL DEFAULT 0,
  full        INTEGER NOT NULL DEFAULT 0,
  open_time   INTEGER NOT NULL,
  update_time INTEGER NOT NULL,
  digest      BLOB,
  sequence    INTEGER
);
INSERT INTO "live_files" VALUES(1,'e1ff8e76b39283753bb71f6e82cff794',1,'log.txt','1be6038ee1748c1218bd15178c1d2f4d',1,0,660010,660000,0,1796065833438,1796065833720,X'20C6FADE49C20215DF0ECB82356CF76DA9DA5542BC5F4CFD43DF3D49EFB6F53B',3);
CREATE TABLE live_segments (
  live_no  INTEGER NOT NULL REFERENCES live_files (live_no) ON DELETE CASCADE,
  "offset" INTEGER NOT NULL,
  length   INTEGER NOT NULL,
  block_id INTEGER NOT NULL REFERENCES blocks (block_id),
  PRIMARY KEY (live_no, "offset")
) WITHOUT ROWID;
INSERT INTO "live_segments" VALUES(1,0,660000,3);
CREATE TABLE live_tails (
  live_no  INTEGER NOT NULL REFERENCES live_files (live_no) ON DELETE CASCADE,
  "offset" INTEGER NOT NULL,
  data     BLOB NOT NULL,
  digest   BLOB NOT NULL,
  PRIMARY KEY (live_no, "offset")
);
INSERT INTO "live_tails" VALUES(1,660000,X'6C617374206C696E650A',X'95391AC833D2C98821B3DC361222B626C673EC8243812ED7821979A248D53F79');
CREATE TABLE logged_models (
  model_no       INTEGER PRIMARY KEY,
  model_id       TEXT NOT NULL UNIQUE,
  experiment_id  INTEGER NOT NULL REFERENCES experiments (experiment_id),
  name           TEXT NOT NULL,
  source_run_id  TEXT NOT NULL DEFAULT '',
  model_type     TEXT NOT NULL DEFAULT '',
  status         TEXT NOT NULL DEFAULT 'PENDING',
  status_message TEXT NOT NULL DEFAULT '',
  lifecycle      TEXT NOT NULL DEFAULT 'active',
  delete_time    INTEGER,
  create_time    INTEGER NOT NULL,
  update_time    INTEGER NOT NULL
, principal TEXT NOT NULL DEFAULT '');
INSERT INTO "logged_models" VALUES(1,'m-433402c47a2d2fc25dab91f19f41f3d7',1,'net','6bf447ed4016597c6b7a82b49a02a95c','','PENDING','','active',NULL,1796065832800,1796065832800,'');
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
INSERT INTO "metric_buckets" VALUES(1,'loss',1,2,0,0.25,0.5,0,1,5,0.25,0);
CREATE TABLE metric_points (
  run_no         INTEGER NOT NULL,
  key            TEXT NOT NULL,
  step           INTEGER NOT NULL,
  timestamp      INTEGER NOT NULL,
  point          INTEGER NOT NULL,
  value          REAL NOT NULL,
  special         INTEGER NOT NULL,
  model_id       TEXT NOT NULL,
  dataset_name   TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  PRIMARY KEY (run_no, key, step, timestamp, point)
) WITHOUT ROWID;
INSERT INTO "metric_points" VALUES(1,'accuracy',0,1796065832884,4,0.9,0,'m-433402c47a2d2fc25dab91f19f41f3d7','','');
INSERT INTO "metric_points" VALUES(1,'inf',0,1796065832782,3,9e999,0,'','','');
INSERT INTO "metric_points" VALUES(1,'loss',0,0,0,0.5,0,'','','');
INSERT INTO "metric_points" VALUES(1,'loss',1,1,1,0.25,0,'','','');
INSERT INTO "metric_points" VALUES(1,'nan',0,1796065832782,2,0.0,1,'','','');
CREATE TABLE model_aliases (
  registered_no INTEGER NOT NULL,
  alias         TEXT NOT NULL,
  version       INTEGER NOT NULL,
  PRIMARY KEY (registered_no, alias),
  FOREIGN KEY (registered_no, version) REFERENCES model_versions (registered_no, version) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "model_aliases" VALUES(1,'champion',2);
CREATE TABLE model_metrics (
  model_no       INTEGER NOT NULL,
  key            TEXT NOT NULL,
  dataset_name   TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  step           INTEGER NOT NULL,
  timestamp      INTEGER NOT NULL,
  value          REAL NOT NULL,
  special         INTEGER NOT NULL,
  run_no         INTEGER NOT NULL,
  PRIMARY KEY (model_no, key, dataset_name, dataset_digest)
) WITHOUT ROWID;
INSERT INTO "model_metrics" VALUES(1,'accuracy','','',0,1796065832884,0.9,0,1);
CREATE TABLE model_params (
  model_no INTEGER NOT NULL REFERENCES logged_models (model_no) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (model_no, key)
) WITHOUT ROWID;
INSERT INTO "model_params" VALUES(1,'depth','3');
CREATE TABLE model_tags (
  model_no INTEGER NOT NULL REFERENCES logged_models (model_no) ON DELETE CASCADE,
  key      TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (model_no, key)
) WITHOUT ROWID;
INSERT INTO "model_tags" VALUES(1,'kind','tree');
CREATE TABLE model_version_tags (
  version_no INTEGER NOT NULL REFERENCES model_versions (version_no) ON DELETE CASCADE,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  PRIMARY KEY (version_no, key)
) WITHOUT ROWID;
INSERT INTO "model_version_tags" VALUES(1,'checked','yes');
INSERT INTO "model_version_tags" VALUES(2,'checked','yes');
CREATE TABLE model_versions (
  version_no     INTEGER PRIMARY KEY,
  registered_no  INTEGER NOT NULL REFERENCES registered_models (registered_no) ON DELETE CASCADE,
  version        INTEGER NOT NULL,
  source         TEXT NOT NULL,
  run_id         TEXT NOT NULL DEFAULT '',
  model_id       TEXT NOT NULL DEFAULT '',
  owner          TEXT NOT NULL,
  sequence       INTEGER NOT NULL,
  tree_digest    BLOB NOT NULL,
  file_count     INTEGER NOT NULL,
  total_size     INTEGER NOT NULL,
  path           TEXT NOT NULL DEFAULT '',
  status         TEXT NOT NULL,
  status_message TEXT NOT NULL DEFAULT '',
  stage          TEXT NOT NULL DEFAULT 'None',
  description    TEXT NOT NULL DEFAULT '',
  user_id        TEXT NOT NULL DEFAULT '',
  create_time    INTEGER NOT NULL,
  update_time    INTEGER NOT NULL, import_id TEXT NOT NULL DEFAULT '', run_link TEXT NOT NULL DEFAULT '', logged_by TEXT NOT NULL DEFAULT '',
  UNIQUE (registered_no, version)
);
INSERT INTO "model_versions" VALUES(1,1,1,'runs:/6bf447ed4016597c6b7a82b49a02a95c/model','6bf447ed4016597c6b7a82b49a02a95c','','6bf447ed4016597c6b7a82b49a02a95c',2,X'815A379CBE0EF5ABBCEE82B4D1F07FD86B6843F91933A5AD919451D361E7AEFC',2,16,'model','READY','','None','','root',1796065833223,1796065833223,'','','');
INSERT INTO "model_versions" VALUES(2,1,2,'runs:/6bf447ed4016597c6b7a82b49a02a95c/model','6bf447ed4016597c6b7a82b49a02a95c','','6bf447ed4016597c6b7a82b49a02a95c',2,X'815A379CBE0EF5ABBCEE82B4D1F07FD86B6843F91933A5AD919451D361E7AEFC',2,16,'model','READY','','None','','root',1796065833250,1796065833250,'','','');
CREATE TABLE objects (
  object_id   INTEGER PRIMARY KEY,
  object_key  TEXT NOT NULL UNIQUE,
  size        INTEGER NOT NULL,
  create_time INTEGER NOT NULL
, delete_time INTEGER);
INSERT INTO "objects" VALUES(1,'blocks/84/84c4260ca2ef268d64f9efccdb00a17c38149773436b0f1c19efcafc2eb01220.586d80c1',11,1796065832913,NULL);
INSERT INTO "objects" VALUES(2,'blocks/ab/ab5aa97074c454a0632057e704220d9a6678fbf773a0a5806fc09b8173b07309.2ffdf0a3',5,1796065832981,NULL);
INSERT INTO "objects" VALUES(3,'blocks/26/267f6c10fdf12927e45fc1bf0609cbf2a2b357cc2eb9e8086a35d96fc6afe376.b0440873',660000,1796065833581,NULL);
INSERT INTO "objects" VALUES(4,'blocks/20/20c6fade49c20215df0ecb82356cf76da9da5542bc5f4cfd43df3d49efb6f53b.9d1f1d40',660010,1796065833720,NULL);
CREATE TABLE registered_model_tags (
  registered_no INTEGER NOT NULL REFERENCES registered_models (registered_no) ON DELETE CASCADE,
  key           TEXT NOT NULL,
  value         TEXT NOT NULL,
  PRIMARY KEY (registered_no, key)
) WITHOUT ROWID;
INSERT INTO "registered_model_tags" VALUES(1,'owner','b');
CREATE TABLE registered_models (
  registered_no INTEGER PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  description   TEXT NOT NULL DEFAULT '',
  next_version  INTEGER NOT NULL DEFAULT 1,
  create_time   INTEGER NOT NULL,
  update_time   INTEGER NOT NULL
, lineage INTEGER NOT NULL DEFAULT 0, pickle_forbidden INTEGER NOT NULL DEFAULT 0);
INSERT INTO "registered_models" VALUES(1,'classifier','what it is',3,1796065833054,1796065833288,1,0);
CREATE TABLE registry_history (
  change_no   INTEGER PRIMARY KEY AUTOINCREMENT,
  lineage     INTEGER NOT NULL,
  name        TEXT NOT NULL,
  version     INTEGER NOT NULL DEFAULT 0,
  kind        TEXT NOT NULL,
  key         TEXT NOT NULL DEFAULT '',
  old_value   TEXT,
  new_value   TEXT,
  tree_digest BLOB,
  principal   TEXT NOT NULL DEFAULT '',
  user_id     TEXT NOT NULL DEFAULT '',
  change_time INTEGER NOT NULL
);
INSERT INTO "registry_history" VALUES(1,1,'classifier',0,'MODEL_CREATED','',NULL,NULL,NULL,'','root',1796065833054);
INSERT INTO "registry_history" VALUES(2,1,'classifier',0,'DESCRIPTION_CHANGED','',NULL,'what it is',NULL,'','root',1796065833054);
INSERT INTO "registry_history" VALUES(3,1,'classifier',0,'TAG_CHANGED','owner',NULL,'b',NULL,'','root',1796065833054);
INSERT INTO "registry_history" VALUES(4,1,'classifier',1,'VERSION_CREATED','',NULL,'runs:/6bf447ed4016597c6b7a82b49a02a95c/model',X'815A379CBE0EF5ABBCEE82B4D1F07FD86B6843F91933A5AD919451D361E7AEFC','','root',1796065833223);
INSERT INTO "registry_history" VALUES(5,1,'classifier',1,'TAG_CHANGED','checked',NULL,'yes',NULL,'','root',1796065833223);
INSERT INTO "registry_history" VALUES(6,1,'classifier',2,'VERSION_CREATED','',NULL,'runs:/6bf447ed4016597c6b7a82b49a02a95c/model',X'815A379CBE0EF5ABBCEE82B4D1F07FD86B6843F91933A5AD919451D361E7AEFC','','root',1796065833250);
INSERT INTO "registry_history" VALUES(7,1,'classifier',2,'TAG_CHANGED','checked',NULL,'yes',NULL,'','root',1796065833250);
INSERT INTO "registry_history" VALUES(8,1,'classifier',2,'ALIAS_CHANGED','champion',NULL,'2',NULL,'','root',1796065833288);
INSERT INTO "registry_history" VALUES(9,9,'gone',0,'MODEL_CREATED','',NULL,NULL,NULL,'','root',1796065833309);
INSERT INTO "registry_history" VALUES(10,9,'gone',0,'MODEL_DELETED','',NULL,NULL,NULL,'','root',1796065833391);
CREATE TABLE requests (
  principal    TEXT NOT NULL,
  request_id   TEXT NOT NULL,
  method       TEXT NOT NULL,
  payload_hash BLOB NOT NULL,
  answer       BLOB NOT NULL,
  create_time  INTEGER NOT NULL,
  PRIMARY KEY (principal, request_id)
);
INSERT INTO "requests" VALUES('','7299c548957545af4467ecf9b44960c8','holdfast.v1.CreateExperimentResponse',X'5AA0EBCE90E53511B8FAC289EA5E81CB26709B3E9BCE8FDB89664961F419C0EC',X'0A340A01311206766973696F6E180122090A047465616D1201612A0C08A894B7D80610C0D9C8DC02320C08A894B7D80610C0D9C8DC02',1796065832731);
INSERT INTO "requests" VALUES('','279f81bb6dde5079e92d6d90e18eb684','holdfast.v1.CreateRunResponse',X'82F69F55F3F3387419BA26651FD60A3330305B203B243B9D9F933F7284937702',X'0A6F0A2036626634343765643430313635393763366237613832623439613032613935631201311A056669727374280130013A0C08A894B7D80610C0EBBCDE0252170A0E6D6C666C6F772E72756E4E616D651205666972737452160A046E6F7465120E756D6CC3A475742027203B202D2D',1796065832741);
INSERT INTO "requests" VALUES('','0bcd97e6f07b8840c7d90148700fbe2b','holdfast.v1.LogBatchResponse',X'7FE5FC367E5B2658EBF7C92BC9783B4D8BA1473D1C850AD5594A79542D99EA4E',X'',1796065832748);
INSERT INTO "requests" VALUES('','cd289d395bba635eb9255302502232dc','holdfast.v1.LogBatchResponse',X'EFCD8FB26137CCDCF080E24C86867103BC0011ACAF3BE7F58EBF5E27068EA09B',X'08021002',1796065832754);
INSERT INTO "requests" VALUES('','84b69f4aec85fd6a10ccb16cea7895d8','holdfast.v1.CreateLoggedModelResponse',X'CE341E3863987979145FCFFE52E8DB650CE3E2BF5A63254DD94808F5D6A0F452',X'0A88010A226D2D34333334303263343761326432666332356461623931663139663431663364371201311A036E657422203662663434376564343031363539376336623761383262343961303261393563300140014A0C08A894B7D806108090BCFD02520C08A894B7D806108090BCFD025A0A0A056465707468120133620C0A046B696E64120474726565',1796065832800);
INSERT INTO "requests" VALUES('','e607dbb71807453596a54d84b3905573','holdfast.v1.LogInputsResponse',X'6FC3ADE7446369D7E74D9323133EF757AA91FF2CD52C26B356440869C3261BCA',X'',1796065832864);
INSERT INTO "requests" VALUES('','7ebeb047c5ae5b10041efa4f4d8000df','holdfast.v1.LogOutputsResponse',X'90FB7F2491F772DDE32EF85178D272908C0C5C842FD95E19575DE7F8071DE64D',X'',1796065832875);
INSERT INTO "requests" VALUES('','5c027426163d16ad8c5306bfd967dce3','holdfast.v1.LogBatchResponse',X'8DB606A380E41A0AAD9D5E40E77046161891C2208D37B0ED1109A0DC6B71471D',X'08011001',1796065832893);
INSERT INTO "requests" VALUES('','f5d276e9c81743d09bbcbd515077fbfe','holdfast.v1.CommitFilesResponse',X'FBB42A85F878B5394ECCFBE823E67D009020EF61059A980012F3F8E9D012A386',X'31',1796065832913);
INSERT INTO "requests" VALUES('','5764139796814cb5b576c23763521403','holdfast.v1.CommitFilesResponse',X'FC58230F6952A5B89A3DA53072A2CA993B10FCC585402AFFE7C07276C74003B8',X'32',1796065832981);
INSERT INTO "requests" VALUES('','d019ad50eef4a7082c15d53fbe23e164','holdfast.v1.CreateRegisteredModelResponse',X'A634EA661B1939D5B35DDC018DC0FB6225508E6543AD392FA83DC7B31E85875B',X'0A3E0A0A636C6173736966696572120A776861742069742069731A0A0A056F776E6572120162320B08A994B7D8061080F3DF193A0B08A994B7D8061080F3DF19',1796065833054);
INSERT INTO "requests" VALUES('','54cce6565682b08f7f6a7665627dadaa','holdfast.v1.CreateModelVersionResponse',X'8D113088EFE0A047035F7B45C353AE39F5AAAB18362E2B1B9900052E3A7A0166',X'0AE8010A0A636C617373696669657210011A2C72756E733A2F36626634343765643430313635393763366237613832623439613032613935632F6D6F64656C22203662663434376564343031363539376336623761383262343961303261393563324C0A220A20366266343437656434303136353937633662376138326234396130326139356310021A20815A379CBE0EF5ABBCEE82B4D1F07FD86B6843F91933A5AD919451D361E7AEFC200228103A056D6F64656C400350016204726F6F746A0E0A07636865636B656412037965737A0B08A994B7D80610C0EBAA6A82010B08A994B7D80610C0EBAA6A',1796065833223);
INSERT INTO "requests" VALUES('','193a04ac7087ccbd1494fd5b45d67ff0','holdfast.v1.CreateModelVersionResponse',X'FEEA8E1362E5837E7AC10EC067E2E79625E1FDBE1C40B022DAD3D49F4E99AA18',X'0AE8010A0A636C617373696669657210021A2C72756E733A2F36626634343765643430313635393763366237613832623439613032613935632F6D6F64656C22203662663434376564343031363539376336623761383262343961303261393563324C0A220A20366266343437656434303136353937633662376138326234396130326139356310021A20815A379CBE0EF5ABBCEE82B4D1F07FD86B6843F91933A5AD919451D361E7AEFC200228103A056D6F64656C400350016204726F6F746A0E0A07636865636B656412037965737A0B08A994B7D8061080E59A7782010B08A994B7D8061080E59A77',1796065833250);
INSERT INTO "requests" VALUES('','162c9b67e6aad169830821c7c1523869','holdfast.v1.SetAliasResponse',X'1764104CE777EC7EE96B1A9FDE903743AD153526B16A794347C8597D102452B0',X'',1796065833288);
INSERT INTO "requests" VALUES('','95155081345c95797a40842384338eed','holdfast.v1.CreateRegisteredModelResponse',X'C4B072C7C077437924998BEA6942828ABED846D8379F2100C468E50A9FE56EA4',X'0A220A04676F6E65320C08A994B7D80610C0EEAB93013A0C08A994B7D80610C0EEAB9301',1796065833309);
INSERT INTO "requests" VALUES('','45e994e762e07b690b9e757248def2ce','holdfast.v1.DeleteRegisteredModelResponse',X'6888ED1C5AE90ABE2281A27933E8009E860BCC4497CABD9B05DA30A36490A998',X'',1796065833391);
INSERT INTO "requests" VALUES('','63d6e1e6c0d342f9772755e320a0de8a','holdfast.v1.CreateRunResponse',X'E7A292D59ADB868B9820EFB153B6F4E11681F23F09CC15DC6777F5D919EE1264',X'0A5B0A2039663833656537653864653331333330313134613832643131393435393235391201311A0764656C65746564280130013A0C08A994B7D80610C09595C00152190A0E6D6C666C6F772E72756E4E616D65120764656C65746564',1796065833406);
INSERT INTO "requests" VALUES('','7a7be52757799c44c47137b5f7f31130','holdfast.v1.DeleteRunResponse',X'40B093BDD9A2DB3ED7FE57A68EFDE5107F24D3C9FA3B9265B33E204C606DBCBE',X'',1796065833419);
INSERT INTO "requests" VALUES('','d82ad538891134db480cfcb1ab1bcbd5','holdfast.v1.OpenLiveArtifactResponse',X'709BF4F9158DEE83338A0401A2C997E127DB637770C0E94D66CB53EDF012E35C',X'0A6D0A20653166663865373662333932383337353362623731663665383263666637393412220A2036626634343765643430313635393763366237613832623439613032613935631A076C6F672E7478742001320C08A994B7D8061080B3EDD0013A0C08A994B7D8061080B3EDD00112203162653630333865653137343863313231386264313531373863316432663464',1796065833438);
CREATE TABLE run_dataset_tags (
  run_no     INTEGER NOT NULL,
  dataset_no INTEGER NOT NULL,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  PRIMARY KEY (run_no, dataset_no, key),
  FOREIGN KEY (run_no, dataset_no) REFERENCES run_datasets (run_no, dataset_no) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO "run_dataset_tags" VALUES(1,1,'split','a');
CREATE TABLE run_datasets (
  run_no     INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  dataset_no INTEGER NOT NULL REFERENCES datasets (dataset_no),
  PRIMARY KEY (run_no, dataset_no)
) WITHOUT ROWID;
INSERT INTO "run_datasets" VALUES(1,1);
CREATE TABLE run_leases (
  run_no      INTEGER PRIMARY KEY REFERENCES runs (run_no) ON DELETE CASCADE,
  length      INTEGER NOT NULL,
  renew_time  INTEGER NOT NULL,
  expire_time INTEGER,
  embedded    INTEGER NOT NULL
);
INSERT INTO "run_leases" VALUES(1,60000,1796065832741,1796065892741,0);
CREATE TABLE run_model_inputs (
  run_no   INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  model_id TEXT NOT NULL,
  PRIMARY KEY (run_no, model_id)
) WITHOUT ROWID;
INSERT INTO "run_model_inputs" VALUES(1,'m-433402c47a2d2fc25dab91f19f41f3d7');
CREATE TABLE run_model_outputs (
  run_no   INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  model_id TEXT NOT NULL,
  step     INTEGER NOT NULL,
  PRIMARY KEY (run_no, model_id)
) WITHOUT ROWID;
INSERT INTO "run_model_outputs" VALUES(1,'m-433402c47a2d2fc25dab91f19f41f3d7',1);
CREATE TABLE run_params (
  run_no INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,
  PRIMARY KEY (run_no, key)
) WITHOUT ROWID;
INSERT INTO "run_params" VALUES(1,'lr','0.1');
CREATE TABLE run_tags (
  run_no INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,
  PRIMARY KEY (run_no, key)
) WITHOUT ROWID;
INSERT INTO "run_tags" VALUES(2,'mlflow.runName','deleted');
INSERT INTO "run_tags" VALUES(1,'mlflow.runName','first');
INSERT INTO "run_tags" VALUES(1,'note','umläut '' ; --');
CREATE TABLE run_writers (
  run_no        INTEGER NOT NULL REFERENCES runs (run_no) ON DELETE CASCADE,
  writer_id     TEXT NOT NULL,
  next_sequence INTEGER NOT NULL,
  PRIMARY KEY (run_no, writer_id)
) WITHOUT ROWID;
INSERT INTO "run_writers" VALUES(1,'5c027426163d16ad8c5306bfd967dce3',1);
INSERT INTO "run_writers" VALUES(1,'af767c107746f313bf716a27a183f1de.1',2);
INSERT INTO "run_writers" VALUES(1,'cd289d395bba635eb9255302502232dc',2);
CREATE TABLE runs (
  run_no        INTEGER PRIMARY KEY,
  run_id        TEXT NOT NULL UNIQUE,
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id),
  run_name      TEXT NOT NULL,
  user_id       TEXT NOT NULL DEFAULT '',
  status        TEXT NOT NULL,
  lifecycle     TEXT NOT NULL DEFAULT 'active',
  start_time    INTEGER NOT NULL,
  end_time      INTEGER,
  delete_time   INTEGER,
  deleted_with_experiment INTEGER NOT NULL DEFAULT 0,
  points        INTEGER NOT NULL DEFAULT 0
, lost INTEGER NOT NULL DEFAULT 0);
INSERT INTO "runs" VALUES(1,'6bf447ed4016597c6b7a82b49a02a95c',1,'first','','RUNNING','active',1796065832735,NULL,NULL,0,5,0);
INSERT INTO "runs" VALUES(2,'9f83ee7e8de31330114a82d119459259',1,'deleted','','RUNNING','deleted',1796065833403,NULL,1796065833419,0,0,0);
CREATE TABLE signing_keys (
  purpose    TEXT PRIMARY KEY,
  secret_key BLOB NOT NULL
);
INSERT INTO "signing_keys" VALUES('page_token',X'0000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE trees (
  tree_id  INTEGER PRIMARY KEY,
  owner    TEXT NOT NULL UNIQUE,
  sequence INTEGER NOT NULL DEFAULT 0
, kept_from INTEGER NOT NULL DEFAULT 0, pruned_to INTEGER NOT NULL DEFAULT 1, purged INTEGER NOT NULL DEFAULT 0, measured_sequence INTEGER, measured_files INTEGER NOT NULL DEFAULT 0, measured_bytes INTEGER NOT NULL DEFAULT 0);
INSERT INTO "trees" VALUES(1,'6bf447ed4016597c6b7a82b49a02a95c',3,0,1,0,NULL,0,0);
CREATE TABLE used_model_names (
  name         TEXT PRIMARY KEY,
  next_version INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "used_model_names" VALUES('gone',1);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX requests_create_time ON requests (create_time);
CREATE INDEX blocks_object ON blocks (object_id);
CREATE INDEX blocks_touch_time ON blocks (touch_time);
CREATE INDEX file_blocks_block ON file_blocks (block_id);
CREATE INDEX entries_parent ON entries (tree_id, parent, path);
CREATE INDEX entries_commit ON entries (commit_id);
CREATE INDEX entries_nfc ON entries (nfc_path, tree_id, commit_id) WHERE nfc_path IS NOT NULL;
CREATE INDEX entries_file ON entries (file_id);
CREATE INDEX experiments_newest ON experiments (create_time DESC, experiment_id);
CREATE INDEX runs_newest ON runs (experiment_id, lifecycle, start_time DESC, run_id);
CREATE INDEX run_datasets_dataset ON run_datasets (dataset_no);
CREATE INDEX logged_models_newest ON logged_models (experiment_id, lifecycle, create_time DESC, model_id);
CREATE INDEX logged_models_run ON logged_models (source_run_id, name, create_time) WHERE source_run_id != '';
CREATE INDEX model_versions_model ON model_versions (model_id) WHERE model_id != '';
CREATE INDEX model_versions_owner ON model_versions (owner);
CREATE INDEX model_versions_run ON model_versions (run_id) WHERE run_id != '';
CREATE INDEX model_versions_newest ON model_versions (create_time DESC);
CREATE INDEX model_aliases_version ON model_aliases (registered_no, version);
CREATE INDEX model_versions_stage ON model_versions (registered_no, stage, version);
CREATE INDEX objects_delete_time ON objects (delete_time) WHERE delete_time IS NOT NULL;
CREATE INDEX blocks_lost ON blocks (block_id) WHERE state != 0;
CREATE INDEX trees_unpruned ON trees (tree_id) WHERE pruned_to < sequence;
CREATE INDEX trees_purged ON trees (tree_id) WHERE purged = 1;
CREATE TRIGGER model_versions_unpin AFTER DELETE ON model_versions BEGIN
  UPDATE trees SET pruned_to = MIN(pruned_to, OLD.sequence - 1) WHERE owner = OLD.owner;
END;
CREATE INDEX runs_deleted ON runs (delete_time) WHERE lifecycle = 'deleted';
CREATE INDEX runs_purged ON runs (run_no) WHERE lifecycle = 'purged';
CREATE INDEX logged_models_deleted ON logged_models (delete_time) WHERE lifecycle = 'deleted';
CREATE INDEX logged_models_purged ON logged_models (model_no) WHERE lifecycle = 'purged';
CREATE UNIQUE INDEX live_files_open ON live_files (tree_id, path) WHERE state = 0;
CREATE INDEX live_files_tree ON live_files (tree_id);
CREATE INDEX live_files_update_time ON live_files (state, update_time);
CREATE INDEX live_segments_block ON live_segments (block_id);
CREATE INDEX events_of_experiment ON events (experiment_id) WHERE experiment_id IS NOT NULL;
CREATE INDEX events_of_registered_model ON events (number) WHERE experiment_id IS NULL;
CREATE INDEX registry_history_name ON registry_history (name, change_no);
CREATE INDEX registry_history_lineage ON registry_history (lineage, change_no);
CREATE INDEX registry_history_renamed ON registry_history (new_value) WHERE kind = 'MODEL_RENAMED';
CREATE TRIGGER registry_history_is_not_changed BEFORE UPDATE ON registry_history BEGIN
  SELECT RAISE(ABORT, 'the history of the registry is only ever added to');
END;
CREATE TRIGGER registry_history_is_not_deleted BEFORE DELETE ON registry_history BEGIN
  SELECT RAISE(ABORT, 'the history of the registry is only ever added to');
END;
CREATE UNIQUE INDEX model_versions_import ON model_versions (registered_no, import_id) WHERE import_id != '';
CREATE INDEX latest_metrics_by_value ON latest_metrics (key, value, special);
CREATE INDEX run_params_by_value ON run_params (key, value);
CREATE INDEX run_tags_by_value ON run_tags (key, value);
CREATE INDEX runs_by_time ON runs (start_time DESC, run_id, experiment_id, lifecycle);
CREATE INDEX run_leases_expire ON run_leases (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX latest_metrics_without_chart ON latest_metrics (run_no, key) WHERE bucket_shift IS NULL AND points >= 16384;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('experiments',1);
INSERT INTO "sqlite_sequence" VALUES('registry_history',10);
INSERT INTO "sqlite_sequence" VALUES('commits',4);
INSERT INTO "sqlite_sequence" VALUES('files',4);
COMMIT;
