-- Figures of the last 30 days, and of the 30 before.
WITH days AS (
    SELECT CASE WHEN day > getvariable('today') - 30 THEN 'now' ELSE 'before' END AS period, direction, status, messages
    FROM messages_daily
    WHERE day > getvariable('today') - 60 AND day <= getvariable('today')
),

flows AS (
    SELECT
        sum(started) FILTER (day > getvariable('today') - 30) AS runs_now,
        sum(started) FILTER (day <= getvariable('today') - 30) AS runs_before,
        sum(completed) FILTER (day > getvariable('today') - 30) AS completed_now
    FROM flow_runs_daily
    WHERE day > getvariable('today') - 60 AND day <= getvariable('today')
)

SELECT
    (SELECT count(*) FROM contacts WHERE deleted_on IS NULL) AS contacts,
    coalesce(sum(messages) FILTER (period = 'now' AND direction = 'in'), 0)::BIGINT AS received_now,
    coalesce(sum(messages) FILTER (period = 'before' AND direction = 'in'), 0)::BIGINT AS received_before,
    coalesce(sum(messages) FILTER (period = 'now' AND direction = 'out'), 0)::BIGINT AS sent_now,
    coalesce(sum(messages) FILTER (period = 'before' AND direction = 'out'), 0)::BIGINT AS sent_before,
    coalesce(sum(messages) FILTER (period = 'now' AND status IN ('failed', 'errored')), 0)::BIGINT AS failed_now,
    (SELECT coalesce(runs_now, 0)::BIGINT FROM flows) AS runs_now,
    (SELECT coalesce(runs_before, 0)::BIGINT FROM flows) AS runs_before,
    (SELECT coalesce(completed_now, 0)::BIGINT FROM flows) AS completed_now,
    (SELECT count(*) FROM tickets WHERE status = 'open' AND deleted_on IS NULL) AS open_tickets
FROM days;
