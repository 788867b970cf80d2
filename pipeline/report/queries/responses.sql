-- How fast contacts answered in the last 30 days.
SELECT name AS within, coalesce(answers, 0) AS answers
FROM (VALUES (1, '1 min'), (2, '5 min'), (3, '15 min'), (4, '1 h'), (5, '6 h'), (6, '1 day'),
    (7, 'later')) AS classes (class, name)
LEFT JOIN (
    SELECT
        CASE
            WHEN seconds <= 60 THEN 1 WHEN seconds <= 300 THEN 2 WHEN seconds <= 900 THEN 3 WHEN seconds <= 3600 THEN 4
            WHEN seconds <= 21600 THEN 5 WHEN seconds <= 86400 THEN 6 ELSE 7
        END AS class,
        count(*) AS answers
    FROM responses_since((getvariable('today') - 30)::TIMESTAMPTZ)
    GROUP BY class
) USING (class)
ORDER BY class;
