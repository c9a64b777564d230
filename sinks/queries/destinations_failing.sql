-- Destinations that fail: more than one in five of the postbacks of the last 15 minutes that were tried have an error, of 10 or more.
SELECT
    destination_id,
    round(countIf(is_error = 1) / count(), 3) AS failing,
    count() AS postbacks,
    anyIf(error_message, is_error = 1) AS error
FROM postbacks
WHERE postback_time >= now() - INTERVAL 15 MINUTE AND attempts > 0
GROUP BY destination_id
HAVING postbacks >= 10 AND failing > 0.2
ORDER BY failing DESC
