-- What do people write that no rule of the flow understands?
-- Answers that fell into the category Other, commonest first: candidates for new rules.
SELECT flow_name, result_name, lower(trim(coalesce(input, value))) AS answer, count(*) AS times
FROM run_results
WHERE category = 'Other'
GROUP BY ALL
ORDER BY times DESC, answer
LIMIT 50;
