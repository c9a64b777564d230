-- Healed errors: events whose first verdict was another one than the current, and how long the healing took.
SELECT
    event_id,
    argMin(status, revision) AS first_status,
    argMin(reason, revision) AS first_reason,
    argMax(status, revision) AS current_status,
    max(revision) AS revisions,
    dateDiff('second', argMin(judged_at, revision), argMax(judged_at, revision)) AS seconds
FROM event_revisions
WHERE received_at >= now() - INTERVAL 30 DAY
GROUP BY event_id
HAVING revisions > 1 AND first_status != current_status
ORDER BY seconds DESC
LIMIT 1000
