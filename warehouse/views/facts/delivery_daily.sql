CREATE VIEW delivery_daily AS
SELECT
    day, channel_uuid, channel_name,
    sum(messages)::BIGINT AS messages,
    coalesce(sum(messages) FILTER (status IN ('delivered', 'read')), 0)::BIGINT AS delivered,
    coalesce(sum(messages) FILTER (status IN ('wired', 'sent', 'resent')), 0)::BIGINT AS sent,
    coalesce(sum(messages) FILTER (status IN ('failed', 'errored')), 0)::BIGINT AS failed,
    round(100.0 * delivered / nullif(delivered + sent + failed, 0), 1) AS delivered_percent,
    round(100.0 * failed / nullif(delivered + sent + failed, 0), 1) AS failed_percent
FROM messages_daily
WHERE direction = 'out'
GROUP BY ALL;

COMMENT ON VIEW delivery_daily IS
    'Whether messages arrive: one row per day and channel of outgoing messages.';
COMMENT ON COLUMN delivery_daily."day" IS 'Day in the workspace''s time zone.';
COMMENT ON COLUMN delivery_daily.channel_uuid IS 'channels.uuid of the channel.';
COMMENT ON COLUMN delivery_daily.channel_name IS 'Best known name of that channel.';
COMMENT ON COLUMN delivery_daily.messages IS 'Outgoing messages.';
COMMENT ON COLUMN delivery_daily.delivered IS 'Of these, delivered or read.';
COMMENT ON COLUMN delivery_daily.sent IS 'Of these, sent; nothing more is known, and many channels never tell more.';
COMMENT ON COLUMN delivery_daily.failed IS 'Of these, failed or errored.';
COMMENT ON COLUMN delivery_daily.delivered_percent IS 'Delivered per 100 that are delivered, sent or failed; null if there are none.';
COMMENT ON COLUMN delivery_daily.failed_percent IS 'Failed per 100 of the same.';
