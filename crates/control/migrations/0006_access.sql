-- Who may do what; see docs/design/authorization.md.

-- Custom roles. The built-in ones are in the program.
CREATE TABLE role_definitions (
    tenant            TEXT   NOT NULL REFERENCES tenants (id),
    id                TEXT   NOT NULL,            -- lower-case GUID
    name              TEXT   NOT NULL,
    name_key          TEXT   NOT NULL,            -- folded
    description       TEXT   NOT NULL,
    permissions       TEXT   NOT NULL,            -- JSON, as ARM writes them
    assignable_scopes TEXT   NOT NULL,            -- JSON: ids in the spelling of creation
    created_ms        BIGINT NOT NULL,
    updated_ms        BIGINT NOT NULL,
    created_by        TEXT   NOT NULL,            -- a principal
    updated_by        TEXT   NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX role_definitions_by_name ON role_definitions (tenant, name_key);

-- A principal has a role at a scope and everywhere below it. A principal is a user, a group or a service principal, so no
-- foreign key can hold it; whoever deletes one deletes its assignments.
CREATE TABLE role_assignments (
    tenant         TEXT   NOT NULL REFERENCES tenants (id),
    id             TEXT   NOT NULL,               -- lower-case GUID: the name in URLs
    scope          TEXT   NOT NULL,               -- in the spelling of creation; '/' is the tenant's root
    scope_key      TEXT   NOT NULL,               -- folded; '' is the tenant's root
    role           TEXT   NOT NULL,               -- a built-in or custom role's GUID
    principal      TEXT   NOT NULL,               -- object id
    principal_type TEXT   NOT NULL,               -- 'User' | 'Group' | 'ServicePrincipal'
    description    TEXT,
    created_ms     BIGINT NOT NULL,
    updated_ms     BIGINT NOT NULL,
    created_by     TEXT   NOT NULL,
    updated_by     TEXT   NOT NULL,
    PRIMARY KEY (tenant, id)
);
-- The scope first: what is deleted with a resource is a range.
CREATE UNIQUE INDEX role_assignments_by_scope ON role_assignments (scope_key, tenant, principal, role);
CREATE INDEX role_assignments_by_principal ON role_assignments (tenant, principal, scope_key);
CREATE INDEX role_assignments_by_role ON role_assignments (tenant, role);

-- What is known about a tenant's assignments, roles and memberships is good while its revision is the same. A revision is
-- random, so that one which was rolled back is never taken for the one that came in its place.
CREATE TABLE access_revisions (
    tenant   TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    revision TEXT NOT NULL
);

-- Administrators may do everything in their tenant: they are Owners of its root.
INSERT INTO role_assignments (tenant, id, scope, scope_key, role, principal, principal_type, description,
    created_ms, updated_ms, created_by, updated_by)
SELECT o.tenant, o.id, '/', '', '8e3af657-a8ff-443c-a75c-2fe8c4bcb635', o.id, 'ServicePrincipal', NULL,
    o.created_ms, o.created_ms, o.id, o.id
FROM service_principals p JOIN directory_objects o ON o.id = p.id WHERE p.administrator = 1;
