-- How far the reading of everything that a region keeps for a tenant is; see docs/design/store.md, "Scrubbing".
CREATE TABLE scrubs (
    region     TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    generation BIGINT NOT NULL,                   -- bumped by every write; who has read another one is refused
    document   TEXT   NOT NULL,                   -- JSON, see reconcile/scrub.rs
    PRIMARY KEY (region, tenant)
);
