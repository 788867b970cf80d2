-- What the last verification found to differ, and did not mend; lakes of earlier versions do not say what was mended.
SELECT stream, month, compared, missing, stale, "double", alive, unarchived, unreadable,
    missing + stale + "double" + alive + unarchived + coalesce(unreadable, 0) - coalesce(repaired, 0) AS differences
FROM (SELECT NULL::BIGINT AS repaired WHERE false UNION ALL BY NAME FROM _verification)
WHERE run = (SELECT arg_max(run, verified_on) FROM _verification)
ORDER BY stream, month;
