-- Which broadcasts make people write back?
-- Contacts reached by each broadcast, and how many of them wrote within a day.
SELECT reached.broadcast AS broadcast_id, any_value(text_default) AS text, count(DISTINCT reached.contact_uuid) AS reached,
    count(DISTINCT answers.contact_uuid) AS wrote_within_a_day
FROM messages AS reached
JOIN broadcasts ON broadcasts.id = reached.broadcast
LEFT JOIN messages AS answers
    ON answers.contact_uuid = reached.contact_uuid AND answers.direction = 'in'
    AND answers.created_on BETWEEN reached.created_on AND reached.created_on + INTERVAL 1 DAY
WHERE reached.direction = 'out' AND reached.deleted_on IS NULL
GROUP BY reached.broadcast
ORDER BY reached.broadcast DESC
LIMIT 20;
