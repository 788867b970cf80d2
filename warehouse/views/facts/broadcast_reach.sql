CREATE VIEW broadcast_reach AS
WITH reached AS (
    SELECT
        messages.broadcast AS id, count(*) AS messages, count(DISTINCT contact_uuid) AS contacts,
        count(*) FILTER (status IN ('delivered', 'read')) AS delivered,
        count(*) FILTER (status IN ('wired', 'sent', 'resent')) AS sent,
        count(*) FILTER (status IN ('failed', 'errored')) AS failed
    FROM messages
    WHERE broadcast IS NOT NULL AND deleted_on IS NULL
    GROUP BY messages.broadcast
)

SELECT
    id AS broadcast_id, created_on, broadcasts.status, text_default AS text, progress_total AS meant_for,
    list_aggregate(list_transform(groups, lambda entry: entry.name), 'string_agg', ', ') AS group_names,
    coalesce(messages, 0) AS messages, coalesce(reached.contacts, 0) AS reached, coalesce(delivered, 0) AS delivered,
    coalesce(sent, 0) AS sent, coalesce(failed, 0) AS failed
FROM broadcasts
LEFT JOIN reached USING (id)
WHERE deleted_on IS NULL;

COMMENT ON VIEW broadcast_reach IS
    'Broadcasts with their reach: one row per broadcast.';
COMMENT ON COLUMN broadcast_reach.broadcast_id IS 'broadcasts.id of the broadcast.';
COMMENT ON COLUMN broadcast_reach.created_on IS 'When it was created (UTC).';
COMMENT ON COLUMN broadcast_reach.status IS 'State of the broadcast.';
COMMENT ON COLUMN broadcast_reach."text" IS 'What was sent, in the default language.';
COMMENT ON COLUMN broadcast_reach.meant_for IS 'Number of contacts it was for; null on older servers.';
COMMENT ON COLUMN broadcast_reach.group_names IS 'Groups it was sent to.';
COMMENT ON COLUMN broadcast_reach.messages IS 'Messages that it became.';
COMMENT ON COLUMN broadcast_reach.reached IS 'Contacts who got one.';
COMMENT ON COLUMN broadcast_reach.delivered IS 'Of the messages, delivered or read.';
COMMENT ON COLUMN broadcast_reach.sent IS 'Of these, sent; nothing more is known.';
COMMENT ON COLUMN broadcast_reach.failed IS 'Of these, failed or errored.';
