-- Failed messages per 100, by week and channel: the five channels that send most.
WITH weeks AS (
    SELECT date_trunc('week', day)::DATE AS week, coalesce(channel_name, 'No channel') AS channel,
        sum(delivered + sent + failed) AS ended, sum(failed) AS failed
    FROM delivery_daily
    WHERE day >= date_trunc('week', getvariable('today') - 182) AND day < date_trunc('week', getvariable('today'))
    GROUP BY ALL
),

largest AS (SELECT channel FROM weeks GROUP BY channel ORDER BY sum(ended) DESC, channel LIMIT 5)

SELECT week, channel, round(100.0 * failed / ended, 2) AS failed_percent
FROM weeks SEMI JOIN largest USING (channel)
WHERE ended > 0
ORDER BY ALL;
