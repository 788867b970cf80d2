CREATE VIEW run_path AS
SELECT
    run_uuid, flow_uuid, contact_uuid, run_created_on, step, steps, entry.node AS node_uuid, entry.time AS arrived_on,
    step = steps AS is_last
FROM (
    SELECT uuid AS run_uuid, flow_uuid, contact_uuid, created_on AS run_created_on, len(path) AS steps,
        unnest(path) AS entry, unnest(range(1, len(path) + 1)) AS step
    FROM runs WHERE deleted_on IS NULL
);

COMMENT ON VIEW run_path IS
    'Steps of runs: one row per run and node that it came to.';
COMMENT ON COLUMN run_path.run_uuid IS 'runs.uuid of the run.';
COMMENT ON COLUMN run_path.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN run_path.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN run_path.run_created_on IS 'When the run began (UTC).';
COMMENT ON COLUMN run_path."step" IS '1 for the first step.';
COMMENT ON COLUMN run_path.steps IS 'Number of steps of the run.';
COMMENT ON COLUMN run_path.node_uuid IS 'Node of the flow; flow_nodes says what it does.';
COMMENT ON COLUMN run_path.arrived_on IS 'When the run came to it (UTC).';
COMMENT ON COLUMN run_path.is_last IS 'True for the step where the run ended, or is now.';
