-- How long until messages of the last 30 days were delivered, by channel: half of them within these bounds.
SELECT coalesce(channel_name, 'No channel') AS channel, count(*) AS messages,
    round(median(at_least_seconds) / 60, 1) AS at_least_minutes,
    round(median(at_most_seconds) / 60, 1) AS at_most_minutes
FROM delivery_times
WHERE created_on > getvariable('today') - 30
GROUP BY ALL
ORDER BY messages DESC, channel
LIMIT 8;
