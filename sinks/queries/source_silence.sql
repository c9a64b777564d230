-- Sources that fell silent: nothing in the last hour, where the same hour of the seven days before had 20 payloads or more on average.
SELECT
    source_id,
    countIf(received_at < now() - INTERVAL 1 HOUR AND (toUnixTimestamp(now()) - toUnixTimestamp(received_at)) % 86400 < 3600) / 7 AS usual,
    countIf(received_at >= now() - INTERVAL 1 HOUR) AS last_hour,
    dateDiff('minute', max(received_at), now()) AS silent_minutes
FROM events
WHERE received_at >= now() - INTERVAL 169 HOUR
GROUP BY source_id
HAVING usual >= 20 AND last_hour = 0
ORDER BY usual DESC
