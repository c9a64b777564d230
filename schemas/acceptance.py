"""The acceptance table: every sentence of the three product pages that Clicktrail is measured by, one row each.

A = AnyTrack Integration Event Log, R = Referral Rock Integration Events Log, C = ClickFlare Logs. A test proves a row by naming its id, in its
name or its docstring or, for the examples, in `proves`; `clicktrail doctor --acceptance` lists which do and how they ended last time. The
ids stand here and not in a document beside the code, so that a row without a test is a test that fails.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One sentence of a page."""

    id: str
    feature: str
    detail: str


ROWS = (
    Row("A01", "log shows data received from conversion sources", "per integration; purpose: track conversion data, debug payloads, verify the exact parameters the source sends, status codes + error messages"),
    Row("A02", "access path", "Dashboard > Integrations > pick integration > Events Log tab > click event > payload on right. So: list filtered by integration, and a detail per event"),
    Row("A03", "payload", 'raw data as received, "typically in JSON format" (so other formats occur), all parameters with their values'),
    Row("A04", "one status per event", "recorded / skipped / failed"),
    Row("A05", "status OK, colour Green", "conversion recorded"),
    Row("A06", "OK attributes", "Conversion Name (e.g. Purchase), Conversion Value (monetary), Click Id (links to the conversion timeline)"),
    Row("A07", "conversion timeline", "from a Click Id, all that happened to that visitor/click"),
    Row("A08", "status Discarded, Gray", "received, intentionally skipped; normal behaviour, not an error"),
    Row("A09", "Discarded: wrong conversion status", "source status not trackable, e.g. pending, rejected; only confirmed/approved are tracked"),
    Row("A10", "Discarded: filtered event type", "type absent from Conversion Mapping settings (example: only Purchase and Lead mapped)"),
    Row("A11", "Discarded: test/sandbox", "test conversions during set-up, discarded when they lack valid tracking parameters (so a test with a valid click id is not discarded for this reason)"),
    Row("A12", "status Deduplicated, Gray", '"already processed this exact conversion"; duplicate skipped'),
    Row("A13", "dedup key", "transactionId and other event attributes"),
    Row("A14", "dedup purpose", "not counted and not sent to ad platforms more than once (dedup gates postbacks too)"),
    Row("A15", "dup scenario 1", "network fires the same postback URL twice for one sale"),
    Row("A16", "dup scenario 2", "webhook retries after a timeout with the same conversion"),
    Row("A17", "dup scenario 3", "several integrations report the same transaction (Shopify webhook + direct API call) => scope is wider than one integration"),
    Row("A18", "severity grouping", "OK, Discarded, Deduplicated = works as expected, no action; errors = action needed"),
    Row("A19", "errors block tracking", "each message names one diagnosable cause; no colour is given for errors (red is our choice)"),
    Row("A20", "error Can't Find refId", "the message ends with the value that was looked for (an e-mail in the page's example, which the page masks)"),
    Row("A21", "refId meaning", "reference ID that ties a server-side conversion to a web session"),
    Row("A22", "event attributes", "auto-collected from the website (e.g. e-mail from form submission); conversions matched against them"),
    Row("A23", "identifier priority", "click_id first; when not available fall back to e-mail, phone number, or external IDs"),
    Row("A24", "refId error condition", "refId in payload matches no previously collected attribute"),
    Row("A25", "refId causes", "never captured (no form filled / tag missing on form page); different e-mail at checkout; attribution window expired"),
    Row("A26", "error No Click ID Value Passed", "the message names the integration's own parameter in quotes (cid in the page's example)"),
    Row("A27", "parameter name varies", "cid, sub5, sub_id, aff_sub, or any network subid parameter => per-integration setting"),
    Row("A28", "its causes", "click id not appended (AutoTag off, or --CLICK-ID-- token missing); source does not store/return subid; wrong parameter name in the postback URL"),
    Row("A29", "token", "--CLICK-ID-- is the link placeholder (must be recognised as unexpanded if it comes back literally)"),
    Row("A30", "error Unknown Click ID", "a value arrived, no such click exists"),
    Row("A31", "its causes", "window expired, or click id made by a different AnyTrack property"),
    Row("A32", "error Can't Find Event", "a conversion reference (transaction ID or event identifier) has no event in the system"),
    Row("A33", "its causes", "initial event not tracked (tag missing), or source references a transaction never recorded"),
    Row("A34", "error Unauthorized Asset", "event references a property not associated with the account; check integration-to-property binding, postback URL"),
    Row("A35", "error No IP Match", "IP-based attribution attempted, no session found"),
    Row("A36", "IP match rules", "fallback only when no click ID and no reference ID; lower accuracy; IP may have changed"),
    Row("A37", "attribution window", "exists; expiry surfaces as A20 or A30"),
    Row("A38", "properties", "multi-property accounts; click ids belong to a property"),
    Row("A39", "per-integration requirements", "each integration has its own set-up"),
    Row("R01", "one list of all integration events of the account", "across sources (contrast A02: per integration; support both)"),
    Row("R02", "event kinds", "One Click Access, API calls, Integration Scripts"),
    Row("R03", "uses", "track statuses, diagnose events, access past event data"),
    Row("R04", "access", 'Dashboard > blue Logs button > "Integration Events"'),
    Row("R05", "table columns", "Created Date, Type, Status, Message, Details"),
    Row("R06", "Created Date", "date the event happened"),
    Row("R07", "Type", "type of integration event"),
    Row("R08", "Status", "exactly three: Info, Success, Failure"),
    Row("R09", "Message", "event message"),
    Row("R10", "Details", "identifying data: referral name, e-mail, any other metadata"),
    Row("R11", "Info", "information captured, Referral not created; typical: invalid member referral link in tests, or fraud rules hit"),
    Row("R12", "Success", "conversion successful"),
    Row("R13", "Failure", "conversion failed; details say why"),
    Row("R14", "filter", "Info / Success / Failure / List All"),
    Row("R15", "download", "button exports the list of events"),
    Row("R16", "event counter", "count of listed events beside the download button (must follow the filter)"),
    Row("R17", "Event Details page", "per event: status, parameters and values captured"),
    Row("R18", "Data section", "results of the event, why it failed (if it did), list of parameters used and their values, human-readable"),
    Row("C01", "Logs area = 3 sections", "System Logs, System Activity, Postback Status"),
    Row("C02", '"records everything"', "event type, exact timestamp, device; nothing missed"),
    Row("C03", "System Logs content", "Visits; Landing page clicks; Postbacks received from Affiliate Network or Feed Provider"),
    Row("C04", "System Logs filters", "Event type (Visits,Clicks,Conversions), Campaigns, Traffic Sources, Date range"),
    Row("C05", "two kinds of data", "passed (tracking fields / conversion parameters) and automatic metadata (device type, browser, IP, …)"),
    Row("C06", "System Activity", "history of all changes in the workspace"),
    Row("C07", "entities", "Campaigns, Landers, Offers, Flows, Affiliate Network, Traffic Sources"),
    Row("C08", "author", "each action tied to the user who did it (multi-user)"),
    Row("C09", "activity filters", "Entity; Action type (created,updated,deleted); Author"),
    Row("C10", "Postback Status", "all postbacks fired to Traffic Sources, by postback URL or Conversion API"),
    Row("C11", "Postback ID, Click ID", "cross-checkable in the Event Logs (join key must exist both ways)"),
    Row("C12", "Postback Time", "when triggered"),
    Row("C13", "Is Error", "0 success, 1 error"),
    Row("C14", "Error Message", "explanation when Is Error = 1"),
    Row("C15", "Status Code", "response code of the traffic source (200 = received)"),
    Row("C16", "Postback URL", "fully populated URL as sent (macros expanded)"),
    Row("C17", "Custom Conversion (ct)", "event type reported: signup, sale, lead"),
    Row("C18", "Integration ID", "tells that a Conversion API integration sent it, and which"),
    Row("C19", "uses", "diagnose, validate conversions, ensure tracking operates"),
)  # fmt: skip
"""In the order of the pages."""

IDS = tuple(row.id for row in ROWS)
