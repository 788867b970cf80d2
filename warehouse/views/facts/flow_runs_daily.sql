CREATE VIEW flow_runs_daily AS
WITH counted AS (
    SELECT epoch_us(created_on) // 900_000_000 AS quarter_hour, flow_uuid, responded, exit_type, count(*) AS runs
    FROM runs
    WHERE deleted_on IS NULL
    GROUP BY ALL
)

SELECT
    local_time(to_timestamp(quarter_hour * 900))::DATE AS day, flow_uuid, flow_name,
    sum(runs)::BIGINT AS started,
    coalesce(sum(runs) FILTER (responded), 0)::BIGINT AS responded,
    coalesce(sum(runs) FILTER (exit_type = 'completed'), 0)::BIGINT AS completed,
    coalesce(sum(runs) FILTER (exit_type = 'expired'), 0)::BIGINT AS expired,
    coalesce(sum(runs) FILTER (exit_type = 'interrupted'), 0)::BIGINT AS interrupted,
    coalesce(sum(runs) FILTER (exit_type = 'failed'), 0)::BIGINT AS failed,
    coalesce(sum(runs) FILTER (exit_type IS NULL), 0)::BIGINT AS ongoing
FROM counted
LEFT JOIN dim_flows USING (flow_uuid)
GROUP BY ALL;

COMMENT ON VIEW flow_runs_daily IS
    'How flows were gone through: one row per flow and day on which runs began.';
COMMENT ON COLUMN flow_runs_daily."day" IS 'Day in the workspace''s time zone on which the runs began.';
COMMENT ON COLUMN flow_runs_daily.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN flow_runs_daily.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN flow_runs_daily.started IS 'Runs that began.';
COMMENT ON COLUMN flow_runs_daily.responded IS 'Of these, in which the contact answered.';
COMMENT ON COLUMN flow_runs_daily.completed IS 'Of these, completed.';
COMMENT ON COLUMN flow_runs_daily.expired IS 'Of these, expired: the contact fell silent.';
COMMENT ON COLUMN flow_runs_daily.interrupted IS 'Of these, interrupted by another flow or a person.';
COMMENT ON COLUMN flow_runs_daily.failed IS 'Of these, failed.';
COMMENT ON COLUMN flow_runs_daily.ongoing IS 'Of these, still going on.';
