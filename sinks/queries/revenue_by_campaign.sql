-- Revenue by campaign and traffic source in the last 30 days. Sums are exact decimals; currencies are never mixed.
SELECT campaign_id, traffic_source_id, currency, count() AS conversions, sum(value) AS revenue, revenue / conversions AS average
FROM events
WHERE received_at >= now() - INTERVAL 30 DAY AND status = 'ok' AND NOT is_test
GROUP BY campaign_id, traffic_source_id, currency
ORDER BY conversions DESC
