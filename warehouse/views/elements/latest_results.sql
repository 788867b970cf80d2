CREATE VIEW latest_results AS
SELECT DISTINCT ON (contact_uuid, flow_uuid, key) contact_uuid, flow_uuid, flow_name, key, result_name, value,
    category, input, "time", run_uuid
FROM run_results
ORDER BY contact_uuid, flow_uuid, key, "time" DESC NULLS LAST, run_created_on DESC, run_uuid;

COMMENT ON VIEW latest_results IS
    'Last answers: one row per contact, flow and result.';
COMMENT ON COLUMN latest_results.contact_uuid IS 'contacts.uuid of the contact.';
COMMENT ON COLUMN latest_results.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN latest_results.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN latest_results."key" IS 'Key of the result.';
COMMENT ON COLUMN latest_results.result_name IS 'Name of the result.';
COMMENT ON COLUMN latest_results.value IS 'The last value.';
COMMENT ON COLUMN latest_results.category IS 'Its category.';
COMMENT ON COLUMN latest_results.input IS 'What the contact wrote; older servers and archives only.';
COMMENT ON COLUMN latest_results."time" IS 'When it was set (UTC).';
COMMENT ON COLUMN latest_results.run_uuid IS 'runs.uuid of the run that set it.';
