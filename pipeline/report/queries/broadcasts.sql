-- The last ten broadcasts.
SELECT local_time(created_on)::DATE AS day, text, group_names, reached, delivered, sent, failed
FROM broadcast_reach
ORDER BY created_on DESC
LIMIT 10;
