-- Altered payloads: rows whose bytes do not have the SHA-256 that was taken when they were received. There must be none.
SELECT event_id, received_at, topic, partition, offset, length(payload) AS bytes
FROM events
WHERE payload_sha256 != '' AND lower(hex(SHA256(payload))) != payload_sha256  -- '': erased
ORDER BY received_at
LIMIT 100
