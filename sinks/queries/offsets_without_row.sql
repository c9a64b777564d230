-- Gaps in the log positions of each partition: offsets between the first and the last one that have no row.
-- Transaction markers are such gaps, too; `clicktrail doctor --conservation` looks each one up in Kafka.
SELECT partition, previous + 1 AS first_missing, offset - 1 AS last_missing
FROM
(
    SELECT partition, offset, lagInFrame(offset, 1, offset) OVER (PARTITION BY partition ORDER BY offset) AS previous
    FROM events
)
WHERE offset > previous + 1
ORDER BY partition, first_missing
LIMIT 1000
