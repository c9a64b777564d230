-- Sources whose status mix drifts: the part of the last hour's verdicts that would have to change to look like the week before.
SELECT source_id, round(sum(abs(recent / recents - usual / usuals)) / 2, 3) AS drift, any(recents) AS last_hour
FROM
(
    SELECT
        source_id,
        status,
        countIf(received_at >= now() - INTERVAL 1 HOUR) AS recent,
        countIf(received_at < now() - INTERVAL 1 HOUR) AS usual,
        sum(recent) OVER (PARTITION BY source_id) AS recents,
        sum(usual) OVER (PARTITION BY source_id) AS usuals
    FROM events
    WHERE received_at >= now() - INTERVAL 7 DAY
    GROUP BY source_id, status
)
WHERE recents >= 50 AND usuals >= 500
GROUP BY source_id
HAVING drift > 0.2
ORDER BY drift DESC
