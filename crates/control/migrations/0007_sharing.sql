-- Sharing; see docs/design/sharing.md. A gallery's sharing state itself is in its document.

-- With whom a gallery is shared directly.
CREATE TABLE gallery_shares (
    gallery   TEXT   NOT NULL REFERENCES resources (key),
    kind      TEXT   NOT NULL,                    -- 'Subscriptions' | 'AADTenants'
    id        TEXT   NOT NULL,                    -- lower-case GUID; need not exist here
    shared_ms BIGINT NOT NULL,
    PRIMARY KEY (gallery, kind, id)
);
CREATE INDEX gallery_shares_by_group ON gallery_shares (kind, id, gallery);

-- Published galleries.
CREATE TABLE community_galleries (
    public_name  TEXT   NOT NULL PRIMARY KEY,     -- in small letters
    gallery      TEXT   NOT NULL UNIQUE REFERENCES resources (key),
    published_ms BIGINT NOT NULL
);

-- What a Reset took from a gallery, for when it is shared again.
CREATE TABLE former_sharing (
    gallery TEXT NOT NULL PRIMARY KEY REFERENCES resources (key),
    profile TEXT NOT NULL                         -- JSON: the sharingProfile
);

-- Resources whose images are being copied from another tenant's image version, until they are there.
CREATE TABLE foreign_sources (
    resource    TEXT NOT NULL PRIMARY KEY REFERENCES resources (key),
    tenant      TEXT NOT NULL,                    -- the version's
    version     TEXT NOT NULL,                    -- its key
    version_uid TEXT NOT NULL,                    -- its incarnation
    access      TEXT NOT NULL,                    -- why it may be read: 'Shared' | 'Community' | 'Role'
    reader      TEXT                              -- by a role: whose, in the version's tenant
);
