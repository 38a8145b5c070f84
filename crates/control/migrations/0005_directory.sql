-- The directory: users, groups, applications and service principals of each tenant; see docs/design/identity.md.

-- What every object has. Users, groups, applications and service principals share one space of ids, as in Microsoft Graph.
CREATE TABLE directory_objects (
    id           TEXT   NOT NULL PRIMARY KEY,     -- object id, lower-case GUID
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    kind         TEXT   NOT NULL,                 -- 'User' | 'Group' | 'Application' | 'ServicePrincipal'
    display_name TEXT   NOT NULL,
    sort_key     TEXT   NOT NULL,                 -- the display name, folded
    created_ms   BIGINT NOT NULL
);
CREATE INDEX directory_objects_by_name ON directory_objects (tenant, kind, sort_key, id);

CREATE TABLE users (
    id                  TEXT   NOT NULL PRIMARY KEY REFERENCES directory_objects (id),
    name                TEXT   NOT NULL,          -- user principal name, as written: 'Ada@example.com'
    name_key            TEXT   NOT NULL UNIQUE,   -- folded
    enabled             BIGINT NOT NULL,
    password_hash       TEXT,                     -- argon2id, in PHC's form; NULL: signs in elsewhere, or not yet
    must_change         BIGINT NOT NULL,          -- 1: the password is to be changed at the next sign-in
    sessions_valid_ms   BIGINT NOT NULL,          -- tokens that were issued before are worth nothing
    issuer              TEXT,                     -- an external issuer and what it calls the user
    subject             TEXT,
    failures            BIGINT NOT NULL,          -- wrong passwords since the last right one
    failed_ms           BIGINT NOT NULL,          -- when the last one was
    document            TEXT   NOT NULL           -- JSON: what Graph shows beside these
);
CREATE UNIQUE INDEX users_by_subject ON users (issuer, subject);

CREATE TABLE directory_groups (
    id          TEXT NOT NULL PRIMARY KEY REFERENCES directory_objects (id),
    document    TEXT NOT NULL                     -- JSON: description, mailNickname
);

-- Groups may be members of groups, never of themselves.
CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES directory_groups (id),
    member   TEXT NOT NULL REFERENCES directory_objects (id),
    PRIMARY KEY (group_id, member)
);
CREATE INDEX group_members_by_member ON group_members (member, group_id);

-- Who may change an application, a service principal or a group beside the directory's administrators.
CREATE TABLE directory_owners (
    object TEXT NOT NULL REFERENCES directory_objects (id),
    owner  TEXT NOT NULL REFERENCES directory_objects (id),
    PRIMARY KEY (object, owner)
);
CREATE INDEX directory_owners_by_owner ON directory_owners (owner, object);

CREATE TABLE directory_role_members (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    role   TEXT NOT NULL,                         -- 'GlobalAdministrator' | 'ApplicationAdministrator'
    member TEXT NOT NULL REFERENCES directory_objects (id),
    PRIMARY KEY (tenant, role, member)
);
CREATE INDEX directory_role_members_by_member ON directory_role_members (member, role);

CREATE TABLE applications (
    id       TEXT NOT NULL PRIMARY KEY REFERENCES directory_objects (id),
    app_id   TEXT NOT NULL UNIQUE,                -- client id
    document TEXT NOT NULL                        -- JSON: redirect URIs, signInAudience, ...
);

-- Names of an application beside its client id, unique in a tenant.
CREATE TABLE application_uris (
    tenant      TEXT NOT NULL REFERENCES tenants (id),
    uri         TEXT NOT NULL,
    application TEXT NOT NULL REFERENCES applications (id),
    PRIMARY KEY (tenant, uri)
);
CREATE INDEX application_uris_by_application ON application_uris (application);

-- Secrets and certificates of applications and service principals.
CREATE TABLE credentials (
    id           TEXT   NOT NULL PRIMARY KEY,     -- keyId
    owner        TEXT   NOT NULL REFERENCES directory_objects (id),
    kind         TEXT   NOT NULL,                 -- 'Secret' | 'Certificate'
    display_name TEXT,
    hint         TEXT   NOT NULL,                 -- a secret's first characters, for people; '' of a certificate
    hash         TEXT   NOT NULL,                 -- a secret's keyed hash, base64; a certificate's SHA-256, base64url
    certificate  TEXT,                            -- DER, base64
    starts_ms    BIGINT NOT NULL,
    expires_ms   BIGINT                           -- NULL: never
);
CREATE INDEX credentials_by_owner ON credentials (owner, id);

-- One per browser or command line that a user signed in with. A refresh token is (session, generation) under a keyed hash,
-- so it is kept nowhere; one of an earlier generation was stolen, or its thief was faster, and ends the session.
CREATE TABLE sessions (
    id           TEXT   NOT NULL PRIMARY KEY,
    tenant       TEXT   NOT NULL,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    app_id       TEXT   NOT NULL,
    generation   BIGINT NOT NULL,
    rotated_ms   BIGINT NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, created_ms);
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);

-- Codes that stand for a sign-in between the page and the token endpoint (RFC 6749, section 4.1). Single use.
CREATE TABLE authorization_codes (
    hash         TEXT   NOT NULL PRIMARY KEY,     -- keyed
    session      TEXT   NOT NULL,                 -- the session that it begins
    tenant       TEXT   NOT NULL,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    app_id       TEXT   NOT NULL,
    request      TEXT   NOT NULL,                 -- JSON: redirect URI, challenge, scope, nonce
    used         BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_ms);
CREATE INDEX authorization_codes_by_user ON authorization_codes (user_id);

-- Devices that wait for a user to approve them (RFC 8628). Single use.
CREATE TABLE device_codes (
    hash         TEXT   NOT NULL PRIMARY KEY,     -- keyed, of the device code
    user_hash    TEXT   NOT NULL UNIQUE,          -- keyed, of the user code
    tenant       TEXT,                            -- NULL: any; the user's decides
    app_id       TEXT   NOT NULL,
    scope        TEXT   NOT NULL,
    address      TEXT   NOT NULL,                 -- who asked
    state        TEXT   NOT NULL,                 -- 'Pending' | 'Approved' | 'Denied'
    user_id      TEXT   REFERENCES users (id),
    created_ms   BIGINT NOT NULL,
    polled_ms    BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX device_codes_by_expiry ON device_codes (expires_ms);
CREATE INDEX device_codes_by_user ON device_codes (user_id);

-- One-time links by which the first user of a tenant chooses a name and a password.
CREATE TABLE invitations (
    hash       TEXT   NOT NULL PRIMARY KEY,       -- keyed
    tenant     TEXT   NOT NULL REFERENCES tenants (id),
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- A name that a subscription was made under, so that making it again finds it: Microsoft.Subscription/aliases.
CREATE TABLE subscription_aliases (
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    name_key     TEXT   NOT NULL,                 -- folded
    name         TEXT   NOT NULL,
    subscription TEXT   NOT NULL REFERENCES subscriptions (id),
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (tenant, name_key)
);

CREATE UNIQUE INDEX tenants_by_domain ON tenants (default_domain);

-- What was there before. A service principal is one application's in one tenant from now on; the application of one that
-- had none has its client id as its object id, too.
INSERT INTO directory_objects (id, tenant, kind, display_name, sort_key, created_ms)
    SELECT id, tenant, 'ServicePrincipal', display_name, LOWER(display_name), created_ms FROM service_principals;
INSERT INTO directory_objects (id, tenant, kind, display_name, sort_key, created_ms)
    SELECT app_id, tenant, 'Application', display_name, LOWER(display_name), created_ms FROM service_principals;
INSERT INTO applications (id, app_id, document) SELECT app_id, app_id, '{}' FROM service_principals;
INSERT INTO credentials (id, owner, kind, display_name, hint, hash, certificate, starts_ms, expires_ms)
    SELECT c.id, p.app_id, 'Secret', NULL, '', c.hash, NULL, c.created_ms, c.expires_ms
    FROM client_secrets c JOIN service_principals p ON p.id = c.principal;
DROP TABLE client_secrets;
CREATE TABLE directory_service_principals (
    id            TEXT   NOT NULL PRIMARY KEY REFERENCES directory_objects (id),
    tenant        TEXT   NOT NULL REFERENCES tenants (id),
    app_id        TEXT   NOT NULL,                -- client id of its application, which may be another tenant's
    administrator BIGINT NOT NULL,                -- 1: owner of everything in its tenant
    enabled       BIGINT NOT NULL,
    document      TEXT   NOT NULL,                -- JSON: what Graph shows beside these
    UNIQUE (tenant, app_id)
);
INSERT INTO directory_service_principals (id, tenant, app_id, administrator, enabled, document)
    SELECT id, tenant, app_id, administrator, 1, '{}' FROM service_principals;
DROP TABLE service_principals;
ALTER TABLE directory_service_principals RENAME TO service_principals;
CREATE INDEX service_principals_by_app ON service_principals (app_id);
