CREATE VIEW group_sizes AS
WITH spans AS (
    SELECT group_uuid, contacts, day AS first_day,
        coalesce(lead(day) OVER (PARTITION BY group_uuid ORDER BY day) - 1, local_time(now())::DATE) AS last_day
    FROM _group_sizes
)

SELECT day::DATE AS day, group_uuid, group_name, sizes.contacts
FROM (
    SELECT group_uuid, contacts, unnest(generate_series(first_day, last_day, INTERVAL 1 DAY)) AS day FROM spans
) AS sizes
LEFT JOIN dim_groups USING (group_uuid);

COMMENT ON VIEW group_sizes IS
    'How large groups were: one row per group and day since the first sync.';
COMMENT ON COLUMN group_sizes."day" IS 'Day in the workspace''s time zone.';
COMMENT ON COLUMN group_sizes.group_uuid IS 'groups.uuid of the group.';
COMMENT ON COLUMN group_sizes.group_name IS 'Best known name of that group.';
COMMENT ON COLUMN group_sizes.contacts IS 'Contacts in it at the last sync of the day; 0 after it was deleted.';
