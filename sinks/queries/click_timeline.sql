-- Timeline of a click: all that happened to it, in order. Parameter: click_id.
SELECT at, what, id, detail
FROM
(
    SELECT occurred_at AS at, toString(kind) AS what, visit_id AS id, ifNull(url, '') AS detail
    FROM visits
    WHERE click_id = {click_id:String}
    UNION ALL
    SELECT event_time, concat('event: ', status), event_id, message
    FROM events
    WHERE click_id = {click_id:String}
    UNION ALL
    SELECT sent_at, concat('postback: ', state), postback_id, ifNull(error_message, postback_url)
    FROM postback_attempts
    WHERE click_id = {click_id:String} AND attempt > 0
)
ORDER BY at, what
