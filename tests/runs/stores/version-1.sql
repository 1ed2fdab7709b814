-- A store as the first schema version wrote it. Never regenerate: later versions must open this one.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE metric_points (run INTEGER NOT NULL, name TEXT NOT NULL, step INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, value REAL);
INSERT INTO "metric_points" VALUES(1,'rmse',0,1790000000000,58.0);
INSERT INTO "metric_points" VALUES(1,'rmse',1,1790000001000,57.6);
CREATE TABLE metrics (run INTEGER NOT NULL, name TEXT NOT NULL, value REAL, step INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, minimum REAL, maximum REAL, points INTEGER NOT NULL,
            PRIMARY KEY (run, name)) WITHOUT ROWID;
INSERT INTO "metrics" VALUES(1,'rmse',57.6,1,1790000001000,57.6,58.0,2);
CREATE TABLE params (run INTEGER NOT NULL, name TEXT NOT NULL, value TEXT, number REAL,
            PRIMARY KEY (run, name)) WITHOUT ROWID;
INSERT INTO "params" VALUES(1,'alpha','0.1',0.1);
CREATE TABLE runs (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT, project TEXT, experiment TEXT,
            entry_point TEXT, status TEXT NOT NULL, exit_status INTEGER, user TEXT, host TEXT, parent TEXT,
            started_at TEXT, ended_at TEXT, duration_s REAL, source_kind TEXT, source_commit TEXT,
            source_branch TEXT, source_digest TEXT, source_dirty INTEGER, environment_kind TEXT,
            environment_key TEXT, max_memory_bytes INTEGER, deleted_at TEXT,
            metrics_offset INTEGER NOT NULL DEFAULT 0);
INSERT INTO "runs" VALUES(1,'01a1fde10dcc73ef824522071c8015e3','old','','','','finished',0,NULL,NULL,NULL,'2026-11-21T11:32:27.212Z',NULL,1.0,'folder',NULL,NULL,NULL,NULL,'system',NULL,NULL,NULL,114);
CREATE TABLE tags (run INTEGER NOT NULL, name TEXT NOT NULL, value TEXT,
            PRIMARY KEY (run, name)) WITHOUT ROWID;
INSERT INTO "tags" VALUES(1,'a','b');
CREATE INDEX runs_by_status ON runs (status);
CREATE INDEX runs_by_name ON runs (name);
CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX params_by_name ON params (name, number);
CREATE INDEX tags_by_name ON tags (name, value);
CREATE INDEX metrics_by_name ON metrics (name, value);
CREATE INDEX metric_points_by_run ON metric_points (run, name, step);
COMMIT;
