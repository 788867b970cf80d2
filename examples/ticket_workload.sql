-- How much work are tickets, and for whom?
-- Tickets by the person they are assigned to: open ones, closed ones, and hours until half of these were closed.
SELECT coalesce(assignee_name, assignee_email, 'nobody') AS assignee, count(*) FILTER (status = 'open') AS open,
    count(*) FILTER (status = 'closed') AS closed, round(median(epoch(closed_on - opened_on)) / 3600, 1) AS hours_until_closed
FROM tickets
WHERE deleted_on IS NULL
GROUP BY assignee
ORDER BY open DESC, closed DESC;
