"""Ten million events for `bench console`, made by the engine itself: INSERT SELECT from numbers(), nothing travels.

Thirty days that end now, three accounts (80, 15 and 5 %), 20 sources, 40 campaigns; 3 % of the events are healed errors with a second
revision. Clicks, postbacks and activity beside them, so that every page has something to read. Hashes of the row's number choose, so the same
number always makes the same row; only the times move with the clock. Payloads are about 250 bytes that compress as real ones do (4 to 1).
"""

# ruff: noqa: S608 - numbers and expressions of our own are pasted into SQL here

from collections.abc import Callable

EVENTS, VISITS, POSTBACKS, CHANGES = 10_000_000, 3_000_000, 2_000_000, 20_000
STEP = 1_000_000
DAYS = 30
HEALED_EVERY = 33  # of the events, one is an error first and ok later


def _pick(salt: str, *words: str) -> str:
    """One of the words by the row's number; how often a word stands there is how likely it is."""
    return f"[{', '.join(repr(word) for word in words)}][1 + cityHash64(n, '{salt}') % {len(words)}]"


def _at(count: int) -> str:
    """The time of row n of `count`: evenly over the days, the newest now."""
    return f"begin + toIntervalMillisecond(toUInt64(n * {DAYS * 86_400_000 / count}))"


def _numbers(first: int, count: int) -> str:
    return f"(SELECT number AS n, now64(3, 'UTC') - INTERVAL {DAYS} DAY AS begin FROM numbers_mt({first}, {count}))"


STATUS = (
    f"multiIf(n % {HEALED_EVERY} = 0, 'error', "
    + _pick("status", *["ok"] * 14, "discarded", "discarded", "deduplicated", "deduplicated", "error", "ok")
    + ")"
)
REASON = (
    f"multiIf(n % {HEALED_EVERY} = 0, 'unknown_click_id', status = 'ok', 'recorded', status = 'deduplicated', 'duplicate', status = 'discarded', "
    + _pick("why", "wrong_status", "wrong_status", "filtered_event", "test_data")
    + ", "
    + _pick("why", "no_click_id", "unknown_click_id", "unknown_click_id", "cant_find_event", "unreadable_payload")
    + ")"
)
ACCOUNT = _pick("account", *["default"] * 16, "agency", "agency", "agency", "shop")
CLICK = "hex(cityHash64(n, 'click'))"


def event_rows(first: int, count: int) -> str:
    """First verdicts."""
    return f"""
INSERT INTO event_revisions (event_id, receipt_id, account_id, property_id, source_id, type, received_at, event_time, judged_at, status, reason, sub_reason,
    message, view_status, conversion_name, original_name, conversion_status, value, currency, click_id, match_kind, campaign_id, traffic_source_id,
    transaction_id, identity, is_test, revision, settings_version, trace, evidence, parameters, payload, payload_sha256, topic, partition, offset,
    log_partition, log_offset)
SELECT concat('e1-', toString(n % 12), '-', toString(intDiv(n, 12))), lower(hex(cityHash64(n, 'receipt'))), {ACCOUNT} AS account,
    concat(account, '-', {_pick("property", "a", "b", "c", "d")}), concat('source-', toString(cityHash64(n, 'source') % 20)),
    {_pick("type", "postback", "postback", "webhook", "api_call", "upload")}, {_at(EVENTS)} AS received, received - INTERVAL 2 SECOND,
    received + INTERVAL 1 SECOND, {STATUS} AS status, {REASON} AS reason, if(reason = 'unknown_click_id', 'never_seen', NULL),
    reason, multiIf(status = 'ok', 'success', status = 'error', 'failure', 'info'), {_pick("name", "Purchase", "Purchase", "Lead", "Signup")}, 'sale',
    if(reason = 'wrong_status', 'pending', 'approved'), toDecimal64(cityHash64(n, 'value') % 20000 / 100, 2), {_pick("currency", "EUR", "USD", "USD")},
    if(reason = 'no_click_id', NULL, {CLICK}), if(status = 'ok', 'click_id', NULL),
    if(status = 'ok', concat('campaign-', toString(cityHash64(n, 'campaign') % 40)), NULL),
    if(status = 'ok', concat('traffic-', toString(cityHash64(n, 'campaign') % 8)), NULL), concat('T-', toString(n)), concat('default/T-', toString(n)),
    reason = 'test_data', 1, 7, '[["test data","passed",""],["status","passed","approved"],["duplicate","passed","first of its identity"]]',
    '{{"match":"click_id","model":"last","age_ms":3600000}}', map('sub5', {CLICK}, 'txid', concat('T-', toString(n)), 'payout', toString(n % 200)),
    concat('sub5=', {CLICK}, '&txid=T-', toString(n), '&payout=', toString(n % 200), '&status=approved&sub1=', hex(cityHash64(n, 'a')),
        '&sub2=campaign-of-spring&email=customer.', toString(n), '%40customers.example&ua=Mozilla%2F5.0+%28X11%3B+Linux+x86_64%29'),
    lower(hex(SHA256(toString(n)))), 'clicktrail.payloads.v1', n % 12, intDiv(n, 12), n % 12, intDiv(n, 12) * 2
FROM {_numbers(first, count)}"""


def healed_rows() -> str:
    """The second verdicts, made of the first ones."""
    n = "(offset * 12 + partition)"
    return f"""
INSERT INTO event_revisions SELECT * REPLACE ('ok' AS status, 'recorded' AS reason, NULL AS sub_reason, 'recorded' AS message, 'success' AS view_status,
    2 AS revision, judged_at + INTERVAL 2 HOUR AS judged_at, log_offset + 1 AS log_offset, 'click_id' AS match_kind,
    concat('campaign-', toString(cityHash64({n}, 'campaign') % 40)) AS campaign_id,
    concat('traffic-', toString(cityHash64({n}, 'campaign') % 8)) AS traffic_source_id)
FROM (SELECT * FROM event_revisions WHERE {n} % {HEALED_EVERY} = 0 AND revision = 1)"""


def visit_rows(first: int, count: int) -> str:
    """Clicks with their devices."""
    return f"""
INSERT INTO visits (visit_id, click_id, kind, account_id, property_id, occurred_at, received_at, campaign_id, traffic_source_id, parameters, device_type,
    browser, os, is_bot, ip, country, url, log_partition, log_offset, logged_at)
SELECT concat('v-', toString(n)), {CLICK}, {_pick("kind", "visit", "click", "click", "lander_click")}, {ACCOUNT} AS account,
    concat(account, '-', {_pick("property", "a", "b", "c", "d")}), {_at(VISITS)} AS received, received,
    concat('campaign-', toString(cityHash64(n, 'campaign') % 40)), concat('traffic-', toString(cityHash64(n, 'campaign') % 8)),
    map('utm_source', 'social', 'utm_term', hex(cityHash64(n, 'term'))), {_pick("device", "mobile", "desktop", "tablet")},
    {_pick("browser", "Firefox", "Chrome", "Safari")}, {_pick("os", "Android", "iOS", "Windows")}, false, concat('203.0.113.', toString(n % 250)),
    {_pick("country", "DE", "FR", "US")}, 'https://shop.example/', n % 12, intDiv(n, 12), received
FROM {_numbers(first, count)}"""


def postback_rows(first: int, count: int) -> str:
    """A postback a row, delivered at the first try; one in twelve failed."""
    return f"""
INSERT INTO postback_attempts (postback_id, attempt, kind, request_offset, account_id, property_id, event_id, click_id, destination_id, postback_time, sent_at,
    duration_ms, is_error, status_code, postback_url, ct, request, response, state, log_partition, log_offset, logged_at)
SELECT concat('e1-', toString(n % 12), '-', toString(intDiv(n, 12)), '.ads.1'), 1, 'conversion', intDiv(n, 12), {ACCOUNT} AS account,
    concat(account, '-', {_pick("property", "a", "b", "c", "d")}), concat('e1-', toString(n % 12), '-', toString(intDiv(n, 12))), {CLICK},
    concat('ads-', toString(cityHash64(n, 'ads') % 6)), {_at(POSTBACKS)} AS at, at + INTERVAL 1 SECOND, 80, n % 12 = 5, if(n % 12 = 5, 500, 200),
    concat('https://ads.example/pb?id=', {CLICK}, '&v=', toString(n % 200)), 'Purchase', 'GET https://ads.example/pb', 'OK',
    if(n % 12 = 5, 'failed', 'delivered'), n % 12, intDiv(n, 12), at
FROM {_numbers(first, count)}"""


def activity_rows(first: int, count: int) -> str:
    """Changes of settings."""
    return f"""
INSERT INTO activity (activity_id, changed_at, author, reason, entity, entity_id, action, before, after, diff, settings_version, log_partition, log_offset, logged_at)
SELECT concat('a-', toString(n)), {_at(CHANGES)} AS at, {_pick("author", "ann", "bob", "cli")}, 'bench', {_pick("entity", "source", "campaign", "property")},
    concat('x-', toString(n % 50)), {_pick("action", "updated", "updated", "created")}, '{{}}', '{{}}', '{{}}', n, 0, n, at
FROM {_numbers(first, count)}"""


def statements(share: float = 1.0) -> list[str]:
    """Return the statements that fill the tables, oldest rows first; of a `share` of the events only the newest."""
    made: list[str] = []
    makers: list[tuple[Callable[[int, int], str], int]] = [
        (event_rows, EVENTS), (visit_rows, VISITS), (postback_rows, POSTBACKS), (activity_rows, CHANGES),
    ]  # fmt: skip
    for maker, total in makers:
        first = total - int(total * share)
        made += [maker(at, min(STEP, total - at)) for at in range(first, total, STEP)]
    return [*made, healed_rows()]
