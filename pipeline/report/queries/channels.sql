-- Messages of the last 30 days by channel: the twelve that carry most.
WITH counted AS (
    SELECT coalesce(channel_name, 'No channel') AS channel,
        CASE direction WHEN 'in' THEN 'received' ELSE 'sent' END AS direction, sum(messages)::BIGINT AS messages
    FROM messages_daily
    WHERE day > getvariable('today') - 30 AND day <= getvariable('today')
    GROUP BY ALL
),

largest AS (SELECT channel, sum(messages) AS all_messages FROM counted GROUP BY channel ORDER BY all_messages DESC,
channel LIMIT 12)

SELECT channel, direction, messages
FROM counted
JOIN largest USING (channel)
ORDER BY all_messages DESC, channel, direction;
