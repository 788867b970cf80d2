CREATE VIEW flow_categories AS
SELECT flow_uuid, dim_flows.flow_name, result.key, result.name AS result_name, number, category
FROM (
    SELECT flow_uuid, result, unnest(result.categories) AS category,
        unnest(range(1, len(result.categories) + 1)) AS number
    FROM (SELECT uuid AS flow_uuid, unnest(results) AS result FROM flows WHERE deleted_on IS NULL)
)
LEFT JOIN dim_flows USING (flow_uuid);

COMMENT ON VIEW flow_categories IS
    'Categories that results may have: one row per flow, result and category.';
COMMENT ON COLUMN flow_categories.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN flow_categories.flow_name IS 'Best known name of that flow.';
COMMENT ON COLUMN flow_categories."key" IS 'Key of the result.';
COMMENT ON COLUMN flow_categories.result_name IS 'Name of the result.';
COMMENT ON COLUMN flow_categories."number" IS 'Place of the category in the flow.';
COMMENT ON COLUMN flow_categories.category IS 'The category.';
