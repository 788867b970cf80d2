-- Names of flows, channels, groups, labels and topics in rows written since the last look, where they are new or later.
-- The name that the server gives a deleted thing counts only where no other is known.
WITH seen AS (
    SELECT 'flow' AS kind, uuid, name, synced_on AS seen_on FROM flows WHERE synced_on >= getvariable('since')
    UNION ALL
    SELECT 'flow', flow_uuid, flow_name, max(CASE source WHEN 'api' THEN synced_on ELSE modified_on END)
    FROM runs WHERE synced_on >= getvariable('since') GROUP BY ALL
    UNION ALL
    SELECT 'flow', flow_uuid, flow_name, max(CASE source WHEN 'api' THEN synced_on ELSE modified_on END)
    FROM messages WHERE synced_on >= getvariable('since') GROUP BY ALL
    UNION ALL
    SELECT 'flow', flow_uuid, flow_name, max(synced_on) FROM flow_starts WHERE synced_on >= getvariable('since')
    GROUP BY ALL
    UNION ALL
    SELECT 'channel', uuid, name, synced_on FROM channels WHERE synced_on >= getvariable('since')
    UNION ALL
    SELECT 'channel', channel_uuid, channel_name, max(CASE source WHEN 'api' THEN synced_on ELSE modified_on END)
    FROM messages WHERE synced_on >= getvariable('since') GROUP BY ALL
    UNION ALL
    SELECT 'channel', channel_uuid, channel_name, max(synced_on)
    FROM channel_events WHERE synced_on >= getvariable('since') GROUP BY ALL
    UNION ALL
    SELECT 'group', uuid, name, synced_on FROM groups WHERE synced_on >= getvariable('since')
    UNION ALL
    SELECT 'group', entry.uuid, entry.name, synced_on
    FROM (SELECT unnest(groups) AS entry, synced_on FROM broadcasts WHERE synced_on >= getvariable('since'))
    UNION ALL
    SELECT 'group', entry.uuid, entry.name, synced_on
    FROM (SELECT unnest(groups) AS entry, synced_on FROM flow_starts WHERE synced_on >= getvariable('since'))
    UNION ALL
    SELECT 'label', uuid, name, synced_on FROM labels WHERE synced_on >= getvariable('since')
    UNION ALL
    SELECT 'label', entry.uuid, entry.name, max(seen_on)
    FROM (
        SELECT unnest(labels) AS entry, CASE source WHEN 'api' THEN synced_on ELSE modified_on END AS seen_on
        FROM messages WHERE synced_on >= getvariable('since')
    )
    GROUP BY ALL
    UNION ALL
    SELECT 'topic', uuid, name, synced_on FROM topics WHERE synced_on >= getvariable('since')
    UNION ALL
    SELECT 'topic', topic_uuid, topic_name, max(synced_on) FROM tickets WHERE synced_on >= getvariable('since')
    GROUP BY ALL
),

best AS (
    SELECT DISTINCT ON (kind, uuid) kind, uuid, name, seen_on
    FROM seen
    WHERE uuid IS NOT NULL AND name IS NOT NULL
    ORDER BY kind, uuid, is_deleted_name(name), seen_on DESC NULLS LAST, name
)

SELECT best.*
FROM best
LEFT JOIN _known_names AS known USING (kind, uuid)
WHERE known.uuid IS NULL
    OR (
        best.name <> known.name
        AND NOT is_deleted_name(best.name)
        AND (is_deleted_name(known.name) OR coalesce(best.seen_on >= known.seen_on, true))
    )
ORDER BY kind, uuid;
