-- Verdicts per day: what became of everything that was received in the last 30 days.
SELECT
    toDate(received_at) AS day,
    count() AS received,
    countIf(status = 'ok') AS ok,
    countIf(status = 'discarded') AS discarded,
    countIf(status = 'deduplicated') AS deduplicated,
    countIf(status = 'error') AS errors,
    received - ok - discarded - deduplicated - errors AS unexplained -- always 0
FROM events
WHERE received_at >= now() - INTERVAL 30 DAY
GROUP BY day
ORDER BY day DESC
