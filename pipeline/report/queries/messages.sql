-- Messages per week, of the last half year; a week that is not over is left out.
SELECT date_trunc('week', day)::DATE AS week, CASE direction WHEN 'in' THEN 'received' ELSE 'sent' END AS direction,
    sum(messages)::BIGINT AS messages
FROM messages_daily
WHERE day >= date_trunc('week', getvariable('today') - 182) AND day < date_trunc('week', getvariable('today'))
GROUP BY ALL
ORDER BY ALL;
