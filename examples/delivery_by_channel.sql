-- Which channel loses messages?
-- Outgoing messages of the last 30 days by channel. Many channels never tell more than sent.
SELECT channel_name, sum(messages)::BIGINT AS messages, sum(delivered)::BIGINT AS delivered, sum(sent)::BIGINT AS sent,
    sum(failed)::BIGINT AS failed, round(100.0 * sum(failed) / nullif(sum(delivered + sent + failed), 0), 1) AS failed_percent
FROM delivery_daily
WHERE day > today() - 30
GROUP BY channel_name
ORDER BY messages DESC;
