-- Quotas; see docs/design/quotas.md.

-- What a scope may hold. NULL, and a scope without a row: as much as there is room for.
CREATE TABLE quotas (
    scope          TEXT   NOT NULL PRIMARY KEY,   -- 'subscriptions/{guid}' | 'tenants/{guid}'
    most_bytes     BIGINT,
    most_resources BIGINT,
    updated_ms     BIGINT NOT NULL
);

-- What each resource counts for; written in the transaction that changes what it holds.
CREATE TABLE charges (
    resource     TEXT   NOT NULL PRIMARY KEY,     -- its key
    subscription TEXT   NOT NULL,
    bytes        BIGINT NOT NULL
);
CREATE INDEX charges_by_subscription ON charges (subscription);

-- The sums of the charges. A subscription has several rows, whose sum counts: transactions that need not know the sum
-- write to any of them, and so seldom to the same one.
CREATE TABLE usages (
    subscription TEXT   NOT NULL,
    slot         BIGINT NOT NULL,
    tenant       TEXT   NOT NULL,
    bytes        BIGINT NOT NULL,
    resources    BIGINT NOT NULL,
    PRIMARY KEY (subscription, slot)
);
CREATE INDEX usages_by_tenant ON usages (tenant);

-- What is there already. (An empty disk that is being made this moment has its bytes counted by the reconciler.)
INSERT INTO charges (resource, subscription, bytes)
    SELECT r.key, r.subscription, CAST(
        COALESCE((SELECT SUM(i.virtual_size_bytes) FROM disk_images i WHERE i.resource = r.key),
            (SELECT d.upload_bytes FROM disks d WHERE d.key = r.key), 0)
        * (1 + (SELECT COUNT(*) FROM replicas c WHERE c.version = r.key AND c.region <> r.location)) AS BIGINT)
    FROM resources r;
INSERT INTO usages (subscription, slot, tenant, bytes, resources)
    SELECT r.subscription, 0, MIN(r.tenant), CAST(SUM(c.bytes) AS BIGINT), COUNT(*)
    FROM charges c JOIN resources r ON r.key = c.resource GROUP BY r.subscription;
