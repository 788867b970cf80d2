-- After which flow do people opt out?
-- Opt-outs by the flow that sent the last message before them.
SELECT coalesce(flow_name, 'no flow') AS last_flow, count(*) AS opt_outs
FROM opt_outs
ASOF LEFT JOIN (
    SELECT contact_uuid, created_on, flow_uuid FROM messages WHERE direction = 'out'
) AS sent
    ON sent.contact_uuid = opt_outs.contact_uuid AND opt_outs.opted_out_on >= sent.created_on
LEFT JOIN dim_flows USING (flow_uuid)
GROUP BY ALL
ORDER BY opt_outs DESC;
