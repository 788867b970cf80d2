-- How long do people take to answer, by flow?
-- Half of the answers came within median_minutes, nine of ten within slow_minutes; last 90 days.
SELECT coalesce(flow_name, 'outside flows') AS flow, count(*) AS answers,
    round(median(seconds) / 60, 1) AS median_minutes, round(quantile_cont(seconds, 0.9) / 60, 1) AS slow_minutes
FROM responses_since(now() - INTERVAL 90 DAY)
LEFT JOIN dim_flows USING (flow_uuid)
GROUP BY flow
ORDER BY answers DESC;
