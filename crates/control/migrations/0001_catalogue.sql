-- The catalogue. One SQL text for SQLite and PostgreSQL: TEXT, BIGINT and BOOLEAN-as-BIGINT only, times in milliseconds
-- since the epoch, keys compared by bytes. Resources keep their ARM document as JSON text, which is never queried.

-- Single values: the catalogue's id, the tenant, subscription and administrator of the first start.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One monotonic counter orders pins and condemnations; see docs/design/store.md.
CREATE TABLE sequences (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO sequences (name, value) VALUES ('pin', 0);

-- Keys wrapped by the master key file: token signing, SAS, secret hashing.
CREATE TABLE wrapped_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    purpose    TEXT   NOT NULL,          -- 'token' | 'sas' | 'secret'
    wrapped    TEXT   NOT NULL,          -- base64(nonce || AES-256-GCM ciphertext), the id and purpose authenticated with it
    created_ms BIGINT NOT NULL,
    retired_ms BIGINT
);

CREATE TABLE tenants (
    id             TEXT   NOT NULL PRIMARY KEY,   -- lower-case GUID
    display_name   TEXT   NOT NULL,
    default_domain TEXT   NOT NULL,
    created_ms     BIGINT NOT NULL
);

CREATE TABLE subscriptions (
    id           TEXT   NOT NULL PRIMARY KEY,     -- lower-case GUID
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    display_name TEXT   NOT NULL,
    created_ms   BIGINT NOT NULL
);

CREATE TABLE service_principals (
    id           TEXT   NOT NULL PRIMARY KEY,     -- object id
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    app_id       TEXT   NOT NULL UNIQUE,          -- client id
    display_name TEXT   NOT NULL,
    administrator BIGINT NOT NULL,                -- 1: owner of everything in its tenant
    created_ms   BIGINT NOT NULL
);

CREATE TABLE client_secrets (
    id         TEXT   NOT NULL PRIMARY KEY,
    principal  TEXT   NOT NULL REFERENCES service_principals (id),
    hash       TEXT   NOT NULL,                   -- keyed hash of a 256-bit secret, base64
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT
);
CREATE INDEX client_secrets_by_principal ON client_secrets (principal);

CREATE TABLE resource_groups (
    key                TEXT   NOT NULL PRIMARY KEY,   -- folded id
    id                 TEXT   NOT NULL,
    uid                TEXT   NOT NULL UNIQUE,        -- this incarnation
    subscription       TEXT   NOT NULL,
    name               TEXT   NOT NULL,
    location           TEXT   NOT NULL,
    document           TEXT   NOT NULL,               -- accepted body: tags, managedBy, what a newer api-version sent
    provisioning_state TEXT   NOT NULL,               -- 'Succeeded' | 'Deleting'
    generation         BIGINT NOT NULL,
    etag               TEXT   NOT NULL,
    created_ms         BIGINT NOT NULL
);
CREATE INDEX resource_groups_by_subscription ON resource_groups (subscription, key);

-- Every tracked resource: galleries, image definitions, image versions, managed images, disks, snapshots.
CREATE TABLE resources (
    key                TEXT   NOT NULL PRIMARY KEY,   -- folded id
    uid                TEXT   NOT NULL UNIQUE,        -- this incarnation: a resource re-created under its name has another
    id                 TEXT   NOT NULL,               -- in the spelling of creation
    type               TEXT   NOT NULL,               -- 'Microsoft.Compute/galleries', ...
    tenant             TEXT   NOT NULL,
    subscription       TEXT   NOT NULL,
    resource_group     TEXT   NOT NULL,               -- key of the group
    parent             TEXT,                          -- key of the parent resource; NULL for a top-level one
    name               TEXT   NOT NULL,
    location           TEXT   NOT NULL,               -- normalised: 'eastus'
    unique_key         TEXT   UNIQUE,                 -- what else must be unique: gallery name in a subscription, identifier in a gallery
    provisioning_state TEXT   NOT NULL,
    generation         BIGINT NOT NULL,               -- bumped by every accepted write; fences operations
    etag               TEXT   NOT NULL,
    document           TEXT   NOT NULL,               -- accepted body: location, tags, sku, properties...
    created_ms         BIGINT NOT NULL,
    updated_ms         BIGINT NOT NULL
);
CREATE INDEX resources_by_parent ON resources (parent, type, key);
CREATE INDEX resources_by_group ON resources (resource_group, type, key);
CREATE INDEX resources_by_subscription ON resources (subscription, type, key);

-- What an image version is, beyond its document.
CREATE TABLE image_versions (
    key                 TEXT   NOT NULL PRIMARY KEY REFERENCES resources (key),
    definition          TEXT   NOT NULL,              -- key of the definition
    major               BIGINT NOT NULL,
    minor               BIGINT NOT NULL,
    patch               BIGINT NOT NULL,
    exclude_from_latest BIGINT NOT NULL,
    published_ms        BIGINT NOT NULL
);
CREATE INDEX image_versions_by_number ON image_versions (definition, major, minor, patch);

-- A manifest that a resource holds alive: the disks of an image version or managed image, the content of a disk or
-- snapshot. `lun` is -1 for the OS disk and for a disk's or snapshot's only content.
CREATE TABLE disk_images (
    resource           TEXT   NOT NULL REFERENCES resources (key),
    lun                BIGINT NOT NULL,
    tenant             TEXT   NOT NULL,
    region             TEXT   NOT NULL,               -- where the resource lives; replicas add their own regions
    manifest           TEXT   NOT NULL,
    virtual_size_bytes BIGINT NOT NULL,
    PRIMARY KEY (resource, lun)
);
CREATE INDEX disk_images_by_region ON disk_images (region, tenant, resource, lun);

-- One copy of an image version in one region.
CREATE TABLE replicas (
    version             TEXT   NOT NULL REFERENCES resources (key),
    region              TEXT   NOT NULL,
    uid                 TEXT   NOT NULL UNIQUE,
    state               TEXT   NOT NULL,              -- 'Replicating' | 'Completed' | 'Failed'
    replica_count       BIGINT NOT NULL,
    storage_account_type TEXT  NOT NULL,
    exclude_from_latest BIGINT NOT NULL,
    total_bytes         BIGINT NOT NULL,
    copied_bytes        BIGINT NOT NULL,
    details             TEXT   NOT NULL,              -- what a person reads: the last error, or ''
    attempts            BIGINT NOT NULL,
    next_attempt_ms     BIGINT NOT NULL,              -- of a failed replica: when the reconciler tries again
    lease_owner         TEXT,
    lease_until_ms      BIGINT NOT NULL,
    generation          BIGINT NOT NULL,              -- bumped by every claim; fences the worker's writes
    completed_ms        BIGINT,
    PRIMARY KEY (version, region)
);
CREATE INDEX replicas_to_do ON replicas (region, state, next_attempt_ms);

-- A disk's or snapshot's own state.
CREATE TABLE disks (
    key             TEXT   NOT NULL PRIMARY KEY REFERENCES resources (key),
    state           TEXT   NOT NULL,                  -- ARM's diskState: 'ReadyToUpload', 'ActiveUpload', 'Unattached', 'ActiveSAS'
    upload_bytes    BIGINT,                           -- creationData.uploadSizeBytes of a disk made for upload
    staged_manifest TEXT                              -- manifest committed by a chunked upload, not yet the disk's content
);

-- Access to a disk's or snapshot's bytes. The SAS names the row and dies with it; it is never stored.
CREATE TABLE grants (
    id           TEXT   NOT NULL PRIMARY KEY,
    resource     TEXT   NOT NULL REFERENCES resources (key),
    resource_uid TEXT   NOT NULL,
    permission   TEXT   NOT NULL,                     -- 'Read' | 'Write'
    file_format  TEXT   NOT NULL,                     -- 'VHD'
    initiator    TEXT   NOT NULL,                     -- principal's object id
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE UNIQUE INDEX grants_by_resource ON grants (resource);
CREATE INDEX grants_by_expiry ON grants (expires_ms);

-- The durable record of accepted work.
CREATE TABLE operations (
    id              TEXT   NOT NULL PRIMARY KEY,
    kind            TEXT   NOT NULL,                  -- see operations/kind.rs
    tenant          TEXT   NOT NULL,
    subscription    TEXT   NOT NULL,
    location        TEXT   NOT NULL,
    region          TEXT   NOT NULL,                  -- the region whose process must do it; '': any
    resource        TEXT   NOT NULL,                  -- key of the resource or group
    resource_uid    TEXT   NOT NULL,
    resource_generation BIGINT NOT NULL,
    initiator       TEXT   NOT NULL,
    correlation_id  TEXT   NOT NULL,                  -- of the request that began it
    api_version     TEXT   NOT NULL,
    status          TEXT   NOT NULL,                  -- 'InProgress' | 'Succeeded' | 'Failed' | 'Canceled'
    input           TEXT   NOT NULL,                  -- JSON, by kind
    result          TEXT   NOT NULL,                  -- JSON: what the Location answers when it succeeded
    error           TEXT,                             -- JSON ARM error
    percent         BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    next_attempt_ms BIGINT NOT NULL,                  -- the largest BIGINT: no worker claims it
    lease_owner     TEXT,
    lease_until_ms  BIGINT NOT NULL,
    generation      BIGINT NOT NULL,
    created_ms      BIGINT NOT NULL,
    ended_ms        BIGINT
);
CREATE INDEX operations_to_do ON operations (region, status, next_attempt_ms);
CREATE INDEX operations_by_resource ON operations (resource, status);
CREATE INDEX operations_by_incarnation ON operations (resource_uid);
CREATE INDEX operations_by_end ON operations (ended_ms);

-- What keeps stored blobs from collection while they are read, copied or not yet named by a row.
CREATE TABLE pins (
    sequence     BIGINT NOT NULL PRIMARY KEY,
    region       TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    manifest     TEXT,                                -- a root while the pin lives
    owner        TEXT   NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX pins_by_region ON pins (region, tenant, sequence);

-- Packs that are never deduplicated against again and will be deleted.
CREATE TABLE condemned_packs (
    region       TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    pack         TEXT   NOT NULL,
    sequence     BIGINT NOT NULL,
    condemned_ms BIGINT NOT NULL,
    copied_ms    BIGINT,                              -- since when nothing in it is alive that is nowhere else
    PRIMARY KEY (region, tenant, pack)
);

-- Region stores that this catalogue owns.
CREATE TABLE region_stores (
    region     TEXT   NOT NULL PRIMARY KEY,
    store_id   TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- Who did what; inserted in the transaction that does it.
CREATE TABLE audit (
    id             TEXT   NOT NULL PRIMARY KEY,
    at_ms          BIGINT NOT NULL,
    tenant         TEXT   NOT NULL,
    principal      TEXT   NOT NULL,
    action         TEXT   NOT NULL,
    resource       TEXT   NOT NULL,
    operation      TEXT,
    correlation_id TEXT   NOT NULL,
    detail         TEXT   NOT NULL
);
CREATE INDEX audit_by_time ON audit (at_ms, id);
