-- What the last verification found to differ.
SELECT stream, month, compared, missing, stale, "double", alive, unarchived,
    missing + stale + "double" + alive + unarchived AS differences
FROM _verification
WHERE run = (SELECT arg_max(run, verified_on) FROM _verification)
ORDER BY stream, month;
