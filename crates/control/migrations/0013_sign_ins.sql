-- Signing in (docs/design/identity.md, "Guessing").

-- Wrong passwords of names that nobody has. A name's row is what a user's own row has for a user, so that neither a restart nor
-- another process tells which names there are.
CREATE TABLE nobodys_failures (
    name      TEXT   NOT NULL PRIMARY KEY,        -- keyed hash of the tenant and the name: a password may have been typed as one
    failures  BIGINT NOT NULL,
    failed_ms BIGINT NOT NULL                     -- when the last one was
);
CREATE INDEX nobodys_failures_by_time ON nobodys_failures (failed_ms);
DELETE FROM settings WHERE name = 'sign-in.nobodys';
