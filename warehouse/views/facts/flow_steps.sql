-- How far runs came that began since `start`.
CREATE OR REPLACE MACRO flow_steps_since(start) AS TABLE
WITH reached AS (
    SELECT
        flow_uuid, entry.node AS node_uuid, min(step) AS first_step, count(DISTINCT run) AS runs,
        count(*) FILTER (step = steps) AS ended_here,
        count(*) FILTER (step = steps AND exit_type IN ('expired', 'interrupted')) AS given_up_here
    FROM (
        SELECT flow_uuid, exit_type, uuid AS run, len(path) AS steps, unnest(path) AS entry,
            unnest(range(1, len(path) + 1)) AS step
        FROM runs
        WHERE deleted_on IS NULL AND created_on >= start
    )
    GROUP BY ALL
)

SELECT
    flow_uuid, flow_name, reached.node_uuid, flow_nodes.number, says, sets_result, waits, first_step, runs, ended_here,
    given_up_here
FROM reached
LEFT JOIN dim_flows USING (flow_uuid)
LEFT JOIN flow_nodes USING (flow_uuid, node_uuid);

CREATE VIEW flow_steps AS
FROM flow_steps_since('-infinity'::TIMESTAMPTZ);

COMMENT ON VIEW flow_steps IS
    'How far runs came, over all time: one row per flow and node.';
COMMENT ON COLUMN flow_steps.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN flow_steps.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN flow_steps.node_uuid IS 'Node of the flow.';
COMMENT ON COLUMN flow_steps."number" IS 'Place of the node in the definition; null if the flow no longer has it.';
COMMENT ON COLUMN flow_steps.says IS 'First message that it sends, in the base language.';
COMMENT ON COLUMN flow_steps.sets_result IS 'Name of the result that it sets.';
COMMENT ON COLUMN flow_steps.waits IS 'True if it waits for an answer.';
COMMENT ON COLUMN flow_steps.first_step IS 'The earliest step at which a run came to it.';
COMMENT ON COLUMN flow_steps.runs IS 'Runs that came to it.';
COMMENT ON COLUMN flow_steps.ended_here IS 'Of these, whose last step it was.';
COMMENT ON COLUMN flow_steps.given_up_here IS 'Of these, that expired or were interrupted here.';
