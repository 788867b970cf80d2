CREATE VIEW flow_nodes AS
SELECT
    flow_uuid, number, (node ->> 'uuid')::UUID AS node_uuid,
    list_transform(
        list_filter((node -> 'actions')::JSON[], lambda action: action ->> 'type' IN ('send_msg', 'say_msg')),
        lambda action: action ->> 'text'
    )[1] AS says,
    coalesce(
        node ->> '$.router.result_name',
        list_transform(
            list_filter((node -> 'actions')::JSON[], lambda action: action ->> 'type' = 'set_run_result'),
            lambda action: action ->> 'name'
        )[1]
    ) AS sets_result,
    json_exists(node, '$.router.wait') AS waits
FROM (
    SELECT uuid AS flow_uuid, unnest(nodes) AS node, unnest(range(1, len(nodes) + 1)) AS number
    FROM (SELECT uuid, coalesce((definition -> 'nodes')::JSON[], []) AS nodes FROM definitions WHERE deleted_on IS NULL)
);

COMMENT ON VIEW flow_nodes IS
    'What flows are made of: one row per node of a flow''s latest definition.';
COMMENT ON COLUMN flow_nodes.flow_uuid IS 'flows.uuid of the flow.';
COMMENT ON COLUMN flow_nodes."number" IS 'Place of the node in the definition.';
COMMENT ON COLUMN flow_nodes.node_uuid IS 'UUID of the node; runs.path names it.';
COMMENT ON COLUMN flow_nodes.says IS 'First message that it sends, in the base language; null if none.';
COMMENT ON COLUMN flow_nodes.sets_result IS 'Name of the result that it sets; null if none.';
COMMENT ON COLUMN flow_nodes.waits IS 'True if it waits for an answer.';
