CREATE VIEW messages_daily AS
WITH counted AS (
    -- By quarter of an hour first: every time zone's days are made of whole ones, and few rows are left to convert.
    SELECT epoch_us(created_on) // 900_000_000 AS quarter_hour, channel_uuid, direction, status, count(*) AS messages
    FROM messages
    WHERE deleted_on IS NULL
    GROUP BY ALL
)

SELECT local_time(to_timestamp(quarter_hour * 900))::DATE AS day, channel_uuid, channel_name, direction, status,
    sum(messages)::BIGINT AS messages
FROM counted
LEFT JOIN dim_channels USING (channel_uuid)
GROUP BY ALL;

COMMENT ON VIEW messages_daily IS
    'Messages per day, channel, direction and status.';
COMMENT ON COLUMN messages_daily."day" IS 'Day in the workspace''s time zone.';
COMMENT ON COLUMN messages_daily.channel_uuid IS 'channels.uuid of the channel; null if there was none.';
COMMENT ON COLUMN messages_daily.channel_name IS 'Best known name of that channel.';
COMMENT ON COLUMN messages_daily.direction IS 'in or out.';
COMMENT ON COLUMN messages_daily.status IS 'Status of the messages: handled; queued, wired, sent, delivered, read, errored, failed ...';
COMMENT ON COLUMN messages_daily.messages IS 'Number of messages.';
