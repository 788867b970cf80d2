-- Opt-outs per week of the last half year.
SELECT weeks.week, count(contact_uuid) AS opt_outs
FROM (
    SELECT unnest(generate_series(
        date_trunc('week', getvariable('today') - 182), date_trunc('week', getvariable('today')) - INTERVAL 7 DAY,
        INTERVAL 7 DAY
    ))::DATE AS week
) AS weeks
LEFT JOIN opt_outs ON date_trunc('week', local_time(opted_out_on)) = weeks.week
GROUP BY ALL
ORDER BY ALL;
