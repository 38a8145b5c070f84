-- Image versions that were deleted and can come back. Their rows stay in `resources` under their keys, with the type
-- 'Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions', so that no list and no `latest` meets them.
CREATE TABLE soft_deletions (
    key             TEXT   NOT NULL PRIMARY KEY REFERENCES resources (key),
    deleted_ms      BIGINT NOT NULL,
    usable_until_ms BIGINT NOT NULL,              -- Azure's consumptionEndTime: until then disks can be made from it
    purge_ms        BIGINT NOT NULL               -- Azure's hardDeletionTargetTime: until then it can be restored
);
CREATE INDEX soft_deletions_by_purge ON soft_deletions (purge_ms, key);
