-- Problems: errors of the last 7 days by reason and source, with their trend and what to do about them.
SELECT
    reasons.title AS problem,
    source_id,
    count() AS events,
    countIf(received_at >= now() - INTERVAL 1 DAY) AS last_day,
    min(received_at) AS first_seen,
    max(received_at) AS last_seen,
    any(message) AS example,
    any(reasons.remedy) AS remedy
FROM events
INNER JOIN reasons ON reasons.code = events.reason
WHERE received_at >= now() - INTERVAL 7 DAY AND events.status = 'error'
GROUP BY problem, source_id
ORDER BY events DESC
