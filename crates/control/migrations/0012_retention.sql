-- Retention (docs/design/retention.md), Azure's limits (docs/design/quotas.md), answers to shares (docs/design/sharing.md).

-- Which versions of an image definition are kept. It is ours, and in no document of Azure's.
CREATE TABLE retention_policies (
    definition      TEXT   NOT NULL PRIMARY KEY REFERENCES resources (key),
    keep            BIGINT NOT NULL,              -- so many of the highest versions stay, 1 or more
    older_than_days BIGINT NOT NULL,              -- and those that are not older than this
    automatic       BIGINT NOT NULL,              -- 1: the reconciler runs it
    set_by          TEXT   NOT NULL,              -- object id of who set it: automatic runs are in that principal's name
    set_by_kind     TEXT   NOT NULL,              -- 'User' | 'ServicePrincipal'
    set_by_name     TEXT   NOT NULL,              -- as people know that principal
    updated_ms      BIGINT NOT NULL
);
CREATE INDEX retention_policies_automatic ON retention_policies (automatic, definition);

-- Image versions that no retention policy deletes.
CREATE TABLE pinned_versions (
    version   TEXT   NOT NULL PRIMARY KEY REFERENCES resources (key),
    pinned_by TEXT   NOT NULL,                    -- as people know who did it
    pinned_ms BIGINT NOT NULL
);

-- Which image version a resource was made from: a disk, or another version.
CREATE TABLE version_uses (
    resource    TEXT NOT NULL PRIMARY KEY REFERENCES resources (key),
    version     TEXT NOT NULL,                    -- its key
    version_uid TEXT NOT NULL                     -- its incarnation: under its name there may come to be another
);
CREATE INDEX version_uses_by_version ON version_uses (version, resource);

-- How many galleries, definitions and versions a subscription has in a region, for Azure's limits. Counted in the
-- transaction that makes or deletes one; soft-deleted versions count. The sum of the slots counts, as in usages.
CREATE TABLE azure_usages (
    subscription TEXT   NOT NULL,
    region       TEXT   NOT NULL,
    type         TEXT   NOT NULL,                 -- 'Microsoft.Compute/galleries', .../images, .../images/versions
    slot         BIGINT NOT NULL,
    resources    BIGINT NOT NULL,
    PRIMARY KEY (subscription, region, type, slot)
);
INSERT INTO azure_usages (subscription, region, type, slot, resources)
    SELECT subscription, location, counted, 0, COUNT(*) FROM (
        SELECT subscription, location, CASE type
            WHEN 'Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions'
                THEN 'Microsoft.Compute/galleries/images/versions' ELSE type END AS counted
        FROM resources WHERE type IN ('Microsoft.Compute/galleries', 'Microsoft.Compute/galleries/images',
            'Microsoft.Compute/galleries/images/versions',
            'Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions')) AS counting
    GROUP BY subscription, location, counted;
-- NULL: Azure's limits hold; 0: they do not, for this subscription or tenant.
ALTER TABLE quotas ADD COLUMN azure_limits BIGINT;

-- Shares that a subscription or tenant does not want to see. A share that has no row is seen.
CREATE TABLE share_rejections (
    gallery     TEXT   NOT NULL REFERENCES resources (key),
    kind        TEXT   NOT NULL,                  -- 'Subscriptions' | 'AADTenants'
    id          TEXT   NOT NULL,                  -- lower-case GUID of who rejected
    rejected_ms BIGINT NOT NULL,
    PRIMARY KEY (gallery, kind, id)
);
