-- Postbacks that fail: by destination and error of the last 7 days, with an example to look at and how many were tried again.
SELECT
    destination_id,
    ifNull(toString(status_code), 'no answer') AS answered,
    any(error_message) AS error,
    count() AS postbacks,
    countIf(attempts > 1) AS tried_again,
    countIf(state = 'failed') AS given_up,
    min(postback_time) AS first_seen,
    max(postback_time) AS last_seen,
    any(postback_id) AS example,
    any(event_id) AS example_event
FROM postbacks
WHERE is_error AND postback_time >= now() - INTERVAL 7 DAY
GROUP BY destination_id, answered
ORDER BY postbacks DESC
