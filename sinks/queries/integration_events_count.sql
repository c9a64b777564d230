-- Counter of the integration events: how many events a filter lists. Parameters: status (Info, Success, Failure) and type, empty to list all.
SELECT count() AS events
FROM integration_events
WHERE {status:String} IN ('', status) AND {type:String} IN ('', type)
