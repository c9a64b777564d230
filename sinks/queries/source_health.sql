-- Health of each source: its share of errors in the last day against the six days before, and when it was last heard of.
SELECT
    source_id,
    countIf(received_at >= now() - INTERVAL 1 DAY) AS last_day,
    round(100 * countIf(status = 'error' AND received_at >= now() - INTERVAL 1 DAY) / last_day, 1) AS errors_percent,
    round(100 * countIf(status = 'error' AND received_at < now() - INTERVAL 1 DAY) / (count() - last_day), 1) AS errors_percent_before,
    dateDiff('minute', max(received_at), now()) AS silent_minutes
FROM events
WHERE received_at >= now() - INTERVAL 7 DAY
GROUP BY source_id
ORDER BY errors_percent DESC
