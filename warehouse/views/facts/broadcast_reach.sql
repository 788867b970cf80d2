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
    id AS broadcast_id, uuid AS broadcast_uuid, created_on, current_status(broadcasts.status) AS status,
    text_default AS text, progress_total AS meant_for,
    list_aggregate(list_transform(groups, lambda entry: entry.name), 'string_agg', ', ') AS group_names,
    coalesce(messages, zero) AS messages, coalesce(reached.contacts, zero) AS reached,
    coalesce(delivered, zero) AS delivered, coalesce(sent, zero) AS sent, coalesce(failed, zero) AS failed
-- Messages name a broadcast by its id only: of one without nothing is known.
FROM (SELECT *, CASE WHEN id IS NOT NULL THEN 0 END AS zero FROM broadcasts) AS broadcasts
LEFT JOIN reached USING (id)
WHERE deleted_on IS NULL;

COMMENT ON VIEW broadcast_reach IS
    'Broadcasts with their reach: one row per broadcast.';
COMMENT ON COLUMN broadcast_reach.broadcast_id IS 'broadcasts.id of the broadcast; null where it has none, and then no message points to it.';
COMMENT ON COLUMN broadcast_reach.broadcast_uuid IS 'broadcasts.uuid of the broadcast; null where it has none.';
COMMENT ON COLUMN broadcast_reach.created_on IS 'When it was created (UTC).';
COMMENT ON COLUMN broadcast_reach.status IS
    'State of the broadcast, in the words of newer servers: pending, queued, started, completed, failed or interrupted.';
COMMENT ON COLUMN broadcast_reach."text" IS 'What was sent, in the default language.';
COMMENT ON COLUMN broadcast_reach.meant_for IS 'Number of contacts it was for; null on older servers.';
COMMENT ON COLUMN broadcast_reach.group_names IS 'Groups it was sent to.';
COMMENT ON COLUMN broadcast_reach.messages IS 'Messages that it became; null, like all that follows, where the broadcast has no id.';
COMMENT ON COLUMN broadcast_reach.reached IS 'Contacts who got one.';
COMMENT ON COLUMN broadcast_reach.delivered IS 'Of the messages, delivered or read.';
COMMENT ON COLUMN broadcast_reach.sent IS 'Of these, sent; nothing more is known.';
COMMENT ON COLUMN broadcast_reach.failed IS 'Of these, failed or errored.';
