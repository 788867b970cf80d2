CREATE VIEW run_results AS
SELECT
    run_uuid, flow_uuid, dim_flows.flow_name, contact_uuid, entry.key, entry.value.name AS result_name,
    entry.value.value,
    entry.value.category, entry.value.input, entry.value.time, entry.value.node AS node_uuid, run_created_on
FROM (
    SELECT uuid AS run_uuid, flow_uuid, contact_uuid, created_on AS run_created_on,
        unnest(map_entries(results)) AS entry
    FROM runs WHERE deleted_on IS NULL
)
LEFT JOIN dim_flows USING (flow_uuid);

COMMENT ON VIEW run_results IS
    'Results of runs: one row per run and result.';
COMMENT ON COLUMN run_results.run_uuid IS 'runs.uuid of the run.';
COMMENT ON COLUMN run_results.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN run_results.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN run_results.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN run_results."key" IS 'Key of the result.';
COMMENT ON COLUMN run_results.result_name IS 'Name of the result when it was set.';
COMMENT ON COLUMN run_results.value IS 'The value.';
COMMENT ON COLUMN run_results.category IS 'The category the answer fell into.';
COMMENT ON COLUMN run_results.input IS 'What the contact wrote; older servers and archives only.';
COMMENT ON COLUMN run_results."time" IS 'When it was set (UTC).';
COMMENT ON COLUMN run_results.node_uuid IS 'Node of the flow that set it.';
COMMENT ON COLUMN run_results.run_created_on IS 'When the run began (UTC).';
