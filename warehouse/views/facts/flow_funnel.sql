CREATE VIEW flow_funnel AS
SELECT
    flow_uuid, flow_name, sum(started)::BIGINT AS started, sum(responded)::BIGINT AS responded,
    sum(completed)::BIGINT AS completed,
    sum(expired)::BIGINT AS expired, sum(interrupted)::BIGINT AS interrupted, sum(failed)::BIGINT AS failed,
    sum(ongoing)::BIGINT AS ongoing,
    round(100.0 * sum(responded) / sum(started), 1) AS responded_percent,
    round(100.0 * sum(completed) / sum(started), 1) AS completed_percent
FROM flow_runs_daily
GROUP BY ALL;

COMMENT ON VIEW flow_funnel IS
    'How flows are gone through, over all time: one row per flow that has runs.';
COMMENT ON COLUMN flow_funnel.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN flow_funnel.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN flow_funnel.started IS 'Runs that began.';
COMMENT ON COLUMN flow_funnel.responded IS 'Of these, in which the contact answered.';
COMMENT ON COLUMN flow_funnel.completed IS 'Of these, completed.';
COMMENT ON COLUMN flow_funnel.expired IS 'Of these, expired: the contact fell silent.';
COMMENT ON COLUMN flow_funnel.interrupted IS 'Of these, interrupted by another flow or a person.';
COMMENT ON COLUMN flow_funnel.failed IS 'Of these, failed.';
COMMENT ON COLUMN flow_funnel.ongoing IS 'Of these, still going on.';
COMMENT ON COLUMN flow_funnel.responded_percent IS 'Responded per 100 started.';
COMMENT ON COLUMN flow_funnel.completed_percent IS 'Completed per 100 started.';
