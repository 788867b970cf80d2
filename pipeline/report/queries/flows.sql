-- The eight flows that began most often in the last 90 days.
SELECT flow_name AS flow, sum(started)::BIGINT AS started, sum(responded)::BIGINT AS responded,
    sum(completed)::BIGINT AS completed, sum(expired)::BIGINT AS expired
FROM flow_runs_daily
WHERE day > getvariable('today') - 90 AND day <= getvariable('today')
GROUP BY flow_uuid, flow_name
ORDER BY started DESC, flow
LIMIT 8;
