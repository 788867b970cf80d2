-- At what hour do people write?
-- Incoming messages of the last 90 days by weekday and hour, in the workspace's time zone.
SELECT dayname(local_time(created_on)) AS weekday, hour(local_time(created_on)) AS hour, count(*) AS messages
FROM messages
WHERE direction = 'in' AND deleted_on IS NULL AND created_on > now() - INTERVAL 90 DAY
GROUP BY weekday, hour, isodow(local_time(created_on))
ORDER BY isodow(local_time(created_on)), hour;
