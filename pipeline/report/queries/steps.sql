-- How far runs of the last 90 days came in the flow that lost most of them: one row per step, in order.
WITH lost AS (
    SELECT flow_uuid
    FROM flow_runs_daily
    WHERE day > getvariable('today') - 90 AND day <= getvariable('today')
    GROUP BY flow_uuid
    ORDER BY sum(expired + interrupted) DESC, flow_uuid
    LIMIT 1
)

SELECT flow_name AS flow, first_step AS step, coalesce(sets_result, says, '(no longer in the flow)') AS what, runs,
    given_up_here
FROM flow_steps_since((getvariable('today') - 90)::TIMESTAMPTZ)
WHERE flow_uuid = (SELECT flow_uuid FROM lost)
ORDER BY first_step, runs DESC
LIMIT 14;
