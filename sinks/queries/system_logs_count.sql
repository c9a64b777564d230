-- Counter of the system logs: how many rows a filter lists. Parameters: event_type (Visits, Clicks, Conversions), campaign, traffic_source; empty for all.
SELECT
    count() AS events,
    countIf(event_type = 'Visits') AS visits,
    countIf(event_type = 'Clicks') AS clicks,
    countIf(event_type = 'Conversions') AS conversions,
    countIf(is_bot) AS of_bots
FROM system_logs
WHERE {event_type:String} IN ('', event_type)
    AND {campaign:String} IN ('', ifNull(campaign_id, ''))
    AND {traffic_source:String} IN ('', ifNull(traffic_source_id, ''))
