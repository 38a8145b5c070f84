-- Who is what to an application: Microsoft Graph's appRoleAssignments; see docs/design/identity.md.
CREATE TABLE app_role_assignments (
    id         TEXT   NOT NULL PRIMARY KEY,
    principal  TEXT   NOT NULL REFERENCES directory_objects (id),  -- a user, a group or a service principal
    resource   TEXT   NOT NULL REFERENCES service_principals (id), -- the application, in the principal's tenant
    role       TEXT   NOT NULL,                   -- one of its appRoles; all zeros: assigned, without a role
    created_ms BIGINT NOT NULL,
    UNIQUE (principal, resource, role)
);
CREATE INDEX app_role_assignments_by_principal ON app_role_assignments (principal, id);
CREATE INDEX app_role_assignments_by_resource ON app_role_assignments (resource, id);

-- A token may be asked for by an application's URI before it is known whose tenant is meant.
CREATE INDEX application_uris_by_uri ON application_uris (uri);

-- Which external issuer's token made a service principal; NULL: none. Users have theirs (0005).
ALTER TABLE service_principals ADD COLUMN issuer TEXT;
CREATE INDEX service_principals_by_issuer ON service_principals (issuer);
