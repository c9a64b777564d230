-- Time from click to conversion by campaign, in hours: half of the conversions came within the median, 95 % within p95.
SELECT
    events.campaign_id AS campaign_id,
    count() AS conversions,
    round(quantileExact(0.5)(hours), 2) AS median,
    round(quantileExact(0.95)(hours), 2) AS p95
FROM
(
    SELECT events.campaign_id, dateDiff('second', clicks.clicked_at, events.event_time) / 3600 AS hours
    FROM events
    INNER JOIN
    (
        SELECT click_id, min(occurred_at) AS clicked_at FROM visits WHERE kind = 'click' GROUP BY click_id
    ) AS clicks ON clicks.click_id = events.click_id
    WHERE events.received_at >= now() - INTERVAL 30 DAY AND events.status = 'ok'
) AS events
GROUP BY campaign_id
ORDER BY conversions DESC
