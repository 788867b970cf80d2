-- Whose lake it is, and as of when.
SELECT
    coalesce(workspace_name, 'a workspace') AS workspace,
    local_time((SELECT max(started_on) FROM _sync)) AS synced_on,
    (SELECT timezone FROM workspace LIMIT 1) AS timezone,
    (SELECT local_time(max(verified_on)) FROM _verification) AS verified_on,
    (SELECT count(*) FROM _quarantine) AS quarantined,
    (SELECT count(*) FROM archives WHERE deleted_on IS NULL AND record_count > 0) AS archives_listed,
    (SELECT count(*) FROM _archives) AS archives_loaded
FROM _lake;
