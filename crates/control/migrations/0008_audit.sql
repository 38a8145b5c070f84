-- The audit says where requests came from and what was refused, and is sealed: docs/design/audit.md.
ALTER TABLE audit ADD COLUMN caller TEXT NOT NULL DEFAULT '';            -- as people know the principal; '' of a stranger
ALTER TABLE audit ADD COLUMN subscription TEXT NOT NULL DEFAULT '';      -- of the resource, lower-case; '' outside of any
ALTER TABLE audit ADD COLUMN address TEXT NOT NULL DEFAULT '';           -- where the request came from, where that is known
ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'Accepted';   -- 'Accepted' | 'Denied'
ALTER TABLE audit ADD COLUMN occurrences BIGINT NOT NULL DEFAULT 1;      -- refusals that are alike are one row
ALTER TABLE audit ADD COLUMN sequence BIGINT;                            -- its place in the chain, once it is sealed
UPDATE audit SET subscription = lower(substr(resource, 16, 36)) WHERE lower(resource) LIKE '/subscriptions/%';
CREATE UNIQUE INDEX audit_by_sequence ON audit (sequence);
CREATE INDEX audit_by_subscription ON audit (subscription, at_ms, id);

-- One signed link of the chain: the rows from first_sequence on.
CREATE TABLE audit_seals (
    number         BIGINT NOT NULL PRIMARY KEY,    -- 1, 2, ...
    first_sequence BIGINT NOT NULL,
    row_count      BIGINT NOT NULL,
    sealed_ms      BIGINT NOT NULL,
    previous       TEXT   NOT NULL,                -- hash of the seal before, hexadecimal; 64 zeros of the first
    digest         TEXT   NOT NULL,                -- SHA-256 of the rows, hexadecimal
    key            TEXT   NOT NULL,                -- the public key, Ed25519, base64
    signature      TEXT   NOT NULL,                -- Ed25519, base64
    pruned_ms      BIGINT                          -- when its rows were deleted for their age
);
