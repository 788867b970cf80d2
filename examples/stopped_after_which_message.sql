-- After which message do people fall silent?
-- Steps of flows at which runs expired or were interrupted in the last 90 days, with what was said there.
SELECT flow_name, coalesce(says, sets_result) AS message, runs AS came_here, given_up_here,
    round(100.0 * given_up_here / runs, 1) AS given_up_percent
FROM flow_steps_since(now() - INTERVAL 90 DAY)
WHERE given_up_here > 0
ORDER BY given_up_here DESC
LIMIT 20;
