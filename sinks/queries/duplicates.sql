-- Duplicates of the last 7 days beside their originals: who reported the sale again, how much later, and by which key it was recognised.
SELECT
    again.event_id AS duplicate,
    original.event_id AS original,
    again.source_id AS reported_by,
    original.source_id AS first_reported_by,
    dateDiff('millisecond', original.received_at, again.received_at) AS gap_ms,
    JSONExtractString(again.evidence, 'key') AS matched_by,
    again.transaction_id AS transaction_id
FROM events AS again
LEFT JOIN (SELECT event_id, source_id, received_at FROM events) AS original ON original.event_id = again.duplicate_of
WHERE again.received_at >= now() - INTERVAL 7 DAY AND again.status = 'deduplicated'
ORDER BY again.received_at DESC
LIMIT 1000
