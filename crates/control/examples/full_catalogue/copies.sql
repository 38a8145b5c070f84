-- Copies of each version 1.0.0 as 1.1.1 to 1.1.n: its row, its number, its replicas, its images; definition by definition, as their
-- keys are ordered. {versions} is n, {uid} a database's way to make an id.
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {versions})
    INSERT INTO resources SELECT r.parent || '/versions/1.1.' || n, {uid},
    substr(r.id, 1, length(r.id) - 5) || '1.1.' || n, r.type, r.tenant, r.subscription, r.resource_group, r.parent,
    '1.1.' || n, r.location, NULL, r.provisioning_state, r.generation, r.etag, r.document, r.created_ms, r.updated_ms
    FROM resources r CROSS JOIN n WHERE r.name = '1.0.0';
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {versions})
    INSERT INTO image_versions SELECT v.definition || '/versions/1.1.' || n, v.definition, 1, 1, n, 0, v.published_ms
    FROM image_versions v CROSS JOIN n WHERE v.minor = 0;
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {versions})
    INSERT INTO replicas SELECT v.definition || '/versions/1.1.' || n, p.region, {uid}, p.state,
    p.replica_count, p.storage_account_type, p.exclude_from_latest, p.total_bytes, p.copied_bytes, p.details,
    p.attempts, p.next_attempt_ms, p.lease_owner, p.lease_until_ms, p.generation, p.completed_ms
    FROM image_versions v JOIN replicas p ON p.version = v.key CROSS JOIN n WHERE v.minor = 0;
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {versions})
    INSERT INTO disk_images (resource, lun, tenant, region, manifest, virtual_size_bytes)
    SELECT v.definition || '/versions/1.1.' || n, i.lun, i.tenant, i.region, i.manifest, i.virtual_size_bytes
    FROM image_versions v JOIN disk_images i ON i.resource = v.key CROSS JOIN n WHERE v.minor = 0;
