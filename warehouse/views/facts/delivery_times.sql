CREATE VIEW delivery_times AS
WITH first_seen AS (
    SELECT id, CASE WHEN id IS NULL THEN uuid END AS stand_in, min(still_on) AS still_on, min(changed_by) AS changed_by
    FROM message_history
    WHERE what = 'status' AND to_value IN ('delivered', 'read') AND from_value NOT IN ('delivered', 'read')
    GROUP BY ALL
)

SELECT
    messages.id AS message_id, messages.uuid AS message_uuid, channel_uuid, dim_channels.channel_name,
    messages.created_on, sent_on,
    greatest(epoch(still_on - messages.created_on), 0) AS at_least_seconds,
    epoch(changed_by - messages.created_on) AS at_most_seconds
FROM first_seen
JOIN messages
    ON first_seen.id IS NOT DISTINCT FROM messages.id
    AND stand_in IS NOT DISTINCT FROM CASE WHEN messages.id IS NULL THEN messages.uuid END
LEFT JOIN dim_channels USING (channel_uuid)
-- What comes from an archive was changed long before it was seen.
WHERE messages.deleted_on IS NULL AND messages.source = 'api';

COMMENT ON VIEW delivery_times IS
    'How long messages took to be delivered, at least and at most: one row per message that was seen before and after.';
COMMENT ON COLUMN delivery_times.message_id IS 'messages.id of the message; null where it has none.';
COMMENT ON COLUMN delivery_times.message_uuid IS 'messages.uuid of the message; null where it has none.';
COMMENT ON COLUMN delivery_times.channel_uuid IS 'channels.uuid of its channel.';
COMMENT ON COLUMN delivery_times.channel_name IS 'Best known name of that channel.';
COMMENT ON COLUMN delivery_times.created_on IS 'When it was written (UTC).';
COMMENT ON COLUMN delivery_times.sent_on IS 'When it was handed to the channel (UTC).';
COMMENT ON COLUMN delivery_times.at_least_seconds IS 'It was not delivered yet after so many seconds.';
COMMENT ON COLUMN delivery_times.at_most_seconds IS 'It was delivered after so many seconds.';
