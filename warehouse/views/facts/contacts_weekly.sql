CREATE VIEW contacts_weekly AS
WITH heard AS (
    SELECT DISTINCT epoch_us(created_on) // 900_000_000 AS quarter_hour, contact_uuid
    FROM messages
    WHERE direction = 'in' AND deleted_on IS NULL
),

counted AS (
    SELECT date_trunc('week', local_time(to_timestamp(quarter_hour * 900)))::DATE AS week, 'active' AS what,
        count(DISTINCT contact_uuid) AS contacts
    FROM heard
    GROUP BY week
    UNION ALL
    SELECT date_trunc('week', local_time(created_on))::DATE, 'new', count(*) FROM contacts
    WHERE created_on IS NOT NULL GROUP BY ALL
    UNION ALL
    SELECT date_trunc('week', local_time(lost_on))::DATE, 'lost', count(DISTINCT contact_uuid)
    FROM (
        SELECT uuid AS contact_uuid, deleted_on AS lost_on FROM contacts WHERE deleted_on IS NOT NULL
        UNION ALL
        SELECT contact_uuid, opted_out_on FROM opt_outs WHERE is_out_now
    )
    GROUP BY ALL
)

SELECT
    week,
    coalesce(sum(contacts) FILTER (what = 'active'), 0)::BIGINT AS active,
    coalesce(sum(contacts) FILTER (what = 'new'), 0)::BIGINT AS new,
    coalesce(sum(contacts) FILTER (what = 'lost'), 0)::BIGINT AS lost
FROM counted
GROUP BY week;

COMMENT ON VIEW contacts_weekly IS
    'Contacts per week: who wrote, who came, who left.';
COMMENT ON COLUMN contacts_weekly.week IS 'Monday of the week, in the workspace''s time zone.';
COMMENT ON COLUMN contacts_weekly.active IS 'Contacts who wrote at least once.';
COMMENT ON COLUMN contacts_weekly.new IS 'Contacts who were created.';
COMMENT ON COLUMN contacts_weekly.lost IS 'Contacts who were deleted or opted out, and have not come back.';
