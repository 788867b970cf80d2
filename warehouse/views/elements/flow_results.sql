CREATE VIEW flow_results AS
SELECT known.flow_uuid, dim_flows.flow_name, known.key, known.name AS result_name, given.name AS results_columns,
    defined.key IS NOT NULL AS in_flow_now
FROM _result_keys AS known
LEFT JOIN dim_flows USING (flow_uuid)
LEFT JOIN _given_names AS given ON given.scope = known.flow_uuid::VARCHAR AND given.key = known.key
LEFT JOIN (
    SELECT uuid AS flow_uuid, unnest(list_transform(results, lambda result: result.key)) AS key FROM flows
    WHERE deleted_on IS NULL
) AS defined
    ON defined.flow_uuid = known.flow_uuid AND defined.key = known.key;

COMMENT ON VIEW flow_results IS
    'Results that flows collect, or once did: one row per flow and result.';
COMMENT ON COLUMN flow_results.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN flow_results.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN flow_results."key" IS 'Key of the result in runs.results.';
COMMENT ON COLUMN flow_results.result_name IS 'Name of the result as people see it.';
COMMENT ON COLUMN flow_results.results_columns IS 'How its columns begin in the view of the flow, before _value, _category, _input and _time.';
COMMENT ON COLUMN flow_results.in_flow_now IS 'True if the flow has it today.';
