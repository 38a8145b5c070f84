-- Several processes on one catalogue (PostgreSQL); a SQLite catalogue has one process and leaves these empty.

-- Processes that serve the catalogue. One whose time is over is dead: its uploads and chores are others' to take.
CREATE TABLE processes (
    id          TEXT   NOT NULL PRIMARY KEY,      -- kept in the process's data directory; leases name it
    incarnation BIGINT NOT NULL,                  -- bumped by every start: who finds another is a copy, and stops
    url         TEXT   NOT NULL,                  -- where other processes reach it; '': nowhere
    regions     TEXT   NOT NULL,                  -- JSON list: the regions that it serves
    version     TEXT   NOT NULL,
    state       TEXT   NOT NULL,                  -- 'Serving' | 'Draining'
    started_ms  BIGINT NOT NULL,
    expires_ms  BIGINT NOT NULL
);

-- Who has what was uploaded to a disk and is in no store yet: staged pages, and chunks that are being sent.
CREATE TABLE uploads (
    upload      TEXT   NOT NULL PRIMARY KEY,      -- the disk's incarnation
    region      TEXT   NOT NULL,
    process     TEXT   NOT NULL,
    generation  BIGINT NOT NULL,                  -- bumped by every adoption
    has_pages   BIGINT NOT NULL,                  -- 1: pages were acknowledged, so only who sees them may adopt it
    is_released BIGINT NOT NULL                   -- 1: its process is stopping, and whoever sees it may have it
);
CREATE INDEX uploads_by_region ON uploads (region, process);

-- What one process does for all, and until when nobody else does.
CREATE TABLE chores (
    name     TEXT   NOT NULL PRIMARY KEY,         -- 'collect/eastus'
    process  TEXT   NOT NULL,
    until_ms BIGINT NOT NULL
);
