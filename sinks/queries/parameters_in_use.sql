-- Parameters that each source really sends, how often they are filled, and an example: compare it with the source's mapping.
SELECT
    source_id,
    parameter,
    count() AS sent,
    countIf(parameters[parameter] != '') AS filled,
    anyIf(parameters[parameter], parameters[parameter] != '') AS example
FROM events
ARRAY JOIN mapKeys(parameters) AS parameter
WHERE received_at >= now() - INTERVAL 7 DAY
GROUP BY source_id, parameter
ORDER BY source_id, sent DESC
