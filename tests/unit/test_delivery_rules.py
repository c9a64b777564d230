"""Delivery's rules as tables: when again, what an answer means, when to try at all, who may see what."""

import base64
import hashlib
import hmac

import orjson
import pytest
from pydantic import ValidationError

from schemas import outgoing
from schemas.destinations import Destination
from streams.delivery import breaker, google, schedule, webhook
from streams.delivery.breaker import Breaker
from streams.delivery.message import Answer, NotSent
from streams.delivery.outcome import judged
from streams.delivery.request import made

PAUSES = [5, 300, 1800]
NOW = 1_800_000_000_000


def test_the_schedule_is_the_pauses_with_a_fifth_of_jitter():
    for attempt, pause in enumerate(PAUSES, 1):
        due = [schedule.next_ms(f"p{n}", attempt, NOW, PAUSES) - NOW for n in range(500)]
        assert min(due) >= pause * 800
        assert max(due) <= pause * 1200
        assert max(due) - min(due) > pause * 300, "they do not come back together"
    assert schedule.next_ms("p", 4, NOW, PAUSES) is None
    assert schedule.next_ms("p", 1, NOW, PAUSES) == schedule.next_ms("p", 1, NOW, PAUSES)


def test_a_destination_that_asks_for_time_gets_it():
    assert schedule.next_ms("p", 1, NOW, PAUSES, asked_s=120) == NOW + 120_000
    assert schedule.next_ms("p", 2, NOW, PAUSES, asked_s=1) > NOW + 200_000, "never sooner than its own pause"
    assert schedule.next_ms("p", 1, NOW, PAUSES, asked_s=10**9) == NOW + 86_400_000
    assert schedule.next_ms("p", 1, NOW, PAUSES, is_busy=True) == NOW + 60_000, "429 without a Retry-After"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), (" 5 ", 5), ("0", 0), ("Wed, 25 Nov 2026 10:00:30 GMT", 30), ("Wed, 25 Nov 2026 09:00:00 GMT", 0), ("soon", None), ("", None),
        (None, None), ("-5", None), ("99999999999999999999", 999999999),
    ],
)  # fmt: skip
def test_retry_after(text, seconds):
    assert schedule.retry_after_s(text, 1_795_600_800_000) == seconds


def test_the_breaker_opens_probes_and_closes():
    state = Breaker()
    for _ in range(breaker.TRIPS_AFTER):
        assert state.permits(NOW) is None
        state = state.after("failure", NOW)
    assert (state.phase, state.permits(NOW), state.permits(NOW + 4_999)) == ("open", 0, 0)
    assert state.permits(NOW + 5_000) == 1
    probing = state.after("probe", NOW + 5_000)
    assert probing.permits(NOW + 5_000) == 0, "one probe at a time"
    worse = probing.after("failure", NOW + 5_000)
    assert worse.open_until_ms == NOW + 15_000, "twice as long"
    assert probing.after("success", NOW) == Breaker()
    assert probing.after("nothing", NOW).permits(NOW + 5_000) == 1


def test_the_breaker_is_a_whole_table():
    phases, happenings = ("closed", "open", "half_open"), ("success", "failure", "probe", "nothing")
    assert set(breaker.TABLE) == {(phase, happening) for phase in phases for happening in happenings}
    state = Breaker()
    for _ in range(9):
        state = state.after("failure", NOW)
    assert state.after("success", NOW) == Breaker(), "sporadic success resets"
    for _ in range(40):
        state = state.after("failure", NOW)._replace(phase="half_open")
    assert state.pause_ms == breaker.LONGEST_PAUSE_MS


def to(**more):
    return Destination.model_validate({"id": "d", "name": "D", "url": "https://t.example/p?c={click_id}", **more})


@pytest.mark.parametrize(
    ("status", "verdict", "is_down"),
    [
        (200, "delivered", False), (201, "delivered", False), (204, "delivered", False), (301, "failed", False), (302, "failed", False),
        (308, "failed", False), (400, "failed", False), (401, "failed", False), (404, "failed", False), (410, "failed", False), (408, "retry", False),
        (425, "retry", False), (429, "retry", True), (500, "retry", True), (502, "retry", True), (503, "retry", True), (599, "retry", True),
    ],
)  # fmt: skip
def test_what_a_status_means(status, verdict, is_down):
    outcome = judged(Answer(status), to())
    assert (outcome.verdict, outcome.is_down) == (verdict, is_down)
    assert (outcome.message is None) is (verdict == "delivered")


def test_what_no_answer_means():
    assert judged(Answer(problem="no answer within 5 s"), to()) == ("retry", "no answer within 5 s", True)
    assert judged(Answer(problem="refused: x", is_final=True), to()) == ("failed", "refused: x", False)


def test_what_a_body_means():
    """A 200 can hide an error."""
    assert judged(Answer(200, b"ERROR: bad id"), to(sending={"error_contains": ["ERROR"]})).verdict == "retry"
    assert judged(Answer(200, b"hm"), to(sending={"success_contains": "ok"})).verdict == "retry"
    assert judged(Answer(200, b"ok"), to(sending={"success_contains": "ok"})).verdict == "delivered"
    assert judged(Answer(200, b"o", problem="the answer broke off"), to(sending={"success_contains": "ok"})).verdict == "retry"
    assert judged(Answer(200, b"o", problem="the answer broke off"), to()).verdict == "delivered"
    assert judged(Answer(202), to(sending={"expected_statuses": [200]})).verdict == "failed"
    assert judged(Answer(302), to(sending={"expected_statuses": [302]})).verdict == "delivered"


META = {"kind": "conversion_api", "url": "https://m.example", "meta": {"pixel_id": "77", "access_token": "meta-token"}}
TIKTOK = {"kind": "conversion_api", "url": "https://t.example", "tiktok": {"pixel_code": "PX", "access_token": "tt-token"}}
GOOGLE = {
    "kind": "conversion_api", "url": "https://g.example",
    "google": {"customer_id": "123", "conversion_action_id": "9", "developer_token": "dev-token", "client_id": "c", "client_secret": "g-secret",
               "refresh_token": "g-refresh"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "status", "body", "verdict"),
    [
        (META, 200, {"events_received": 1}, "delivered"), (META, 200, {"events_received": 0}, "failed"),
        (META, 400, {"error": {"code": 100, "message": "Invalid parameter"}}, "failed"), (META, 400, {"error": {"code": 190, "message": "token"}}, "failed"),
        (META, 400, {"error": {"code": 4, "message": "limit"}}, "retry"), (META, 500, {"error": {"code": 1, "message": "unknown"}}, "retry"),
        (META, 400, {"error": {"code": 5, "is_transient": True}}, "retry"),
        (TIKTOK, 200, {"code": 0, "message": "OK"}, "delivered"), (TIKTOK, 200, {"code": 40002, "message": "bad"}, "failed"),
        (TIKTOK, 200, {"code": 40100, "message": "too often"}, "retry"), (TIKTOK, 200, {}, "retry"), (TIKTOK, 503, {}, "retry"),
        (GOOGLE, 200, {"results": [{}]}, "delivered"),
        (GOOGLE, 200, {"partialFailureError": {"code": 3, "message": "x", "details": [{"errors": [{"errorCode": {"c": "CLICK_NOT_FOUND"}}]}]}}, "failed"),
        (GOOGLE, 200, {"partialFailureError": {"code": 3, "details": ["CLICK_CONVERSION_ALREADY_EXISTS"]}}, "delivered"),
        (GOOGLE, 200, {"partialFailureError": {"code": 3, "details": ["TOO_RECENT_CONVERSION_ACTION"]}}, "retry"),
        (GOOGLE, 401, {"error": {"code": 401, "message": "UNAUTHENTICATED"}}, "retry"), (GOOGLE, 403, {"error": {"code": 403, "message": "no"}}, "failed"),
    ],
)  # fmt: skip
def test_what_a_platforms_body_means(platform, status, body, verdict):
    outcome = judged(Answer(status, orjson.dumps(body)), to(**platform))
    assert outcome.verdict == verdict
    assert (outcome.message is None) is (verdict == "delivered")


REQUEST = {
    "postback_id": "e1-0-7.d.1", "kind": "conversion", "restates_event_id": None, "event_id": "e1-0-7", "revision": 1, "destination_id": "d",
    "click_id": "clk&7", "ct": "sale", "conversion_name": "Purchase", "value": "12.345", "currency": "EUR", "transaction_id": "T 1",
    "campaign_id": "c1", "traffic_source_id": "ads", "account_id": "default", "property_id": "p", "event_ms": NOW - 60_000, "settings_version": 1,
    "click": {"i": "9.9.9.9", "a": "Mozilla/5.0 (X)", "k": "DE", "u": "https://shop.example/x", "q": {"gclid": "G-1", "fbclid": "F-1", "sub_id3": "three"}},
    "click_ms": NOW - 90_000, "parameters": {"Sub1": "one", "evil": "a\r\nX: 1"}, "user": {"email": "h" * 64},
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("{click_id}", "clk%267"), ("{{click_id}}", "clk%267"), ("[CLICKID]", "clk%267"), ("#clickid#", "clk%267"), ("%click_id%", "clk%267"),
        ("!!clickid!!", "clk%267"), ("!!!clickid!!!", "clk%267"), ("${clickId}", "clk%267"), ("--CLICK-ID--", "clk%267"), ("__CLICK_ID__", "clk%267"),
        ("{payout}-{currency}", "12.345-EUR"), ("{txid}", "T%201"), ("{ct}/{status}/{kind}", "sale/approved/conversion"),
        ("{externalid}", "G-1"), ("{sub1}|{sub3}", "one|three"), ("{var:sub_id3}{var:nope}", "three"), ("{ip}{country}", "9.9.9.9DE"),
        ("{ua}", "Mozilla%2F5.0%20%28X%29"), ("{timestamp}", "1799999940"), ("{campaign.id}", "c1"), ("{offer.id}", ""), ("{var:evil}", "a%0D%0AX%3A%201"),
        ("%20", "%20"), ("[0]", "[0]"), ("a#b", "a#b"),
    ],
)  # fmt: skip
def test_every_macro_style_is_filled_in_and_encoded(template, url):
    """C16."""
    ready = made(REQUEST, to(url=f"https://t.example/p?x={template}"), 1, NOW)
    assert ready.http.url == f"https://t.example/p?x={url}"
    assert ready.http.headers["Idempotency-Key"] == "e1-0-7.d.1"


def test_a_value_that_is_missing():
    url = "https://t.example/p?a={offer_id}&c={click_id}"
    assert made(REQUEST, to(url=url), 1, NOW).http.url == "https://t.example/p?a=&c=clk%267"
    assert made(REQUEST, to(url=url, missing="drop"), 1, NOW).http.url == "https://t.example/p?c=clk%267"
    with pytest.raises(NotSent, match="offer_id"):
        made(REQUEST, to(url=url, missing="refuse"), 1, NOW)


@pytest.mark.parametrize(
    ("rule", "sent"),
    [
        ({}, "12.345EUR"), ({"is_sent": False}, ""), ({"factor": 0.5}, "6.1725EUR"), ({"decimals": 2}, "12.35EUR"), ({"currencies": ["USD"]}, ""),
        ({"factor": 2, "decimals": 0}, "25EUR"),
    ],
)  # fmt: skip
def test_what_of_the_money_is_told(rule, sent):
    ready = made(REQUEST, to(url="https://t.example/p?v={value}{currency}", value=rule), 1, NOW)
    assert ready.http.url == f"https://t.example/p?v={sent}"


@pytest.mark.parametrize(
    ("body", "kind", "sent"),
    [
        ('{"id": "{var:quote}"}', "application/json", '{"id": "a\\"b<&"}'), ("id={var:quote}", "application/x-www-form-urlencoded", "id=a%22b%3C%26"),
        ("<id>{var:quote}</id>", "application/xml", "<id>a&quot;b&lt;&amp;</id>"),
    ],
)  # fmt: skip
def test_a_body_is_encoded_as_it_is(body, kind, sent):
    http = made(REQUEST | {"parameters": {"quote": 'a"b<&'}}, to(method="POST", body=body), 1, NOW).http
    assert (http.headers["Content-Type"], http.body.decode()) == (kind, sent)


def test_a_header_takes_no_line_breaks():
    http = made(REQUEST, to(headers={"X-Var": "v={var:evil}"}), 1, NOW).http
    assert http.headers["X-Var"] == "v=aX: 1"


def test_nobody_sees_a_secret():
    secret = to(
        url="https://t.example/p?c={click_id}&api_key=abc&x=s3cr%25t", headers={"Authorization": "Bearer tok-123", "X-Id": "s3cr%t"}
    )
    ready = made(REQUEST, secret, 1, NOW)
    assert ready.url == "https://t.example/p?c=clk%267&api_key=***&x=***"
    assert "tok-123" not in ready.text
    assert "s3cr%t" not in ready.text
    assert ready.http.headers["Authorization"] == "Bearer tok-123"
    for platform, secrets in ((META, ["meta-token"]), (TIKTOK, ["tt-token"]), (GOOGLE, ["dev-token", "g-secret", "g-refresh"])):
        shown = made(REQUEST, to(**platform), 1, NOW)
        assert not [one for one in secrets if one in shown.text + shown.url]


def test_metas_form():
    http = made(REQUEST, to(**META), 1, NOW).http
    assert (http.method, http.url) == ("POST", "https://m.example/v24.0/77/events")
    assert orjson.loads(http.body) == {
        "data": [{
            "event_name": "sale", "event_time": 1799999940, "event_id": "e1-0-7", "action_source": "website", "event_source_url": "https://shop.example/x",
            "user_data": {"em": ["h" * 64], "client_ip_address": "9.9.9.9", "client_user_agent": "Mozilla/5.0 (X)", "fbc": f"fb.1.{NOW - 90_000}.F-1"},
            "custom_data": {"value": 12.345, "currency": "EUR", "order_id": "T 1"},
        }],
        "access_token": "meta-token",
    }  # fmt: skip
    with pytest.raises(NotSent, match="7 days"):
        made(REQUEST | {"event_ms": NOW - 8 * 86_400_000}, to(**META), 1, NOW)


def test_tiktoks_form():
    http = made(REQUEST, to(**TIKTOK), 1, NOW).http
    assert (http.url, http.headers["Access-Token"]) == ("https://t.example/open_api/v1.3/event/track/", "tt-token")
    body = orjson.loads(http.body)
    assert (body["event_source"], body["event_source_id"], body["data"][0]["event_id"]) == ("web", "PX", "e1-0-7")
    assert body["data"][0]["properties"] == {"value": 12.345, "currency": "EUR", "order_id": "T 1"}


def test_googles_forms():
    http = made(REQUEST, to(**GOOGLE), 1, NOW).http
    assert (http.url, http.needs_token) == ("https://g.example/v23/customers/123:uploadClickConversions", True)
    body = orjson.loads(http.body)
    assert body["partialFailure"] is True
    assert body["conversions"] == [{
        "gclid": "G-1", "conversionAction": "customers/123/conversionActions/9", "conversionDateTime": "2027-01-15 07:59:00+00:00", "orderId": "T 1",
        "conversionValue": 12.345, "currencyCode": "EUR", "userIdentifiers": [{"hashedEmail": "h" * 64}],
    }]  # fmt: skip
    restated = orjson.loads(made(REQUEST | {"kind": "restatement"}, to(**GOOGLE), 1, NOW).http.body)["conversionAdjustments"][0]
    assert (restated["adjustmentType"], restated["restatementValue"]["adjustedValue"]) == ("RESTATEMENT", 12.345)
    retracted = made(REQUEST | {"kind": "retraction"}, to(**GOOGLE), 1, NOW).http
    assert retracted.url.endswith(":uploadConversionAdjustments")
    with pytest.raises(NotSent, match="gclid"):
        made(REQUEST | {"click": {}, "user": {}}, to(**GOOGLE), 1, NOW)
    assert google.google_time(0) == "1970-01-01 00:00:00+00:00"


def test_the_webhooks_signature_is_that_of_the_specification():
    key = base64.b64encode(b"0123456789abcdef01234567").decode()
    hook = {"kind": "conversion_api", "url": "https://w.example/h", "webhook": {"secrets": [f"whsec_{key}", "plain-old-secret"]}}
    http = made(REQUEST | {"kind": "retraction"}, to(**hook), 1, NOW).http
    signed = f"e1-0-7.d.1.{NOW // 1000}.".encode() + http.body
    wanted = base64.b64encode(hmac.new(b"0123456789abcdef01234567", signed, hashlib.sha256).digest()).decode()
    first, second = http.headers["webhook-signature"].split(" ")
    assert first == f"v1,{wanted}"
    assert second == webhook.signature("plain-old-secret", "e1-0-7.d.1", NOW // 1000, http.body)
    assert orjson.loads(http.body)["type"] == "conversion.retracted"


def test_who_is_told_of_corrections():
    """A postback URL that says nothing of the kind would count a refund as a sale."""
    with pytest.raises(NotSent, match="takes no retractions") as caught:
        made(REQUEST | {"kind": "retraction"}, to(), 1, NOW)
    assert caught.value.is_error is False
    assert (
        made(REQUEST | {"kind": "retraction"}, to(url="https://t.example/?s={status}"), 1, NOW).http.url == "https://t.example/?s=reversed"
    )
    assert to(corrections="send").takes("retraction")
    assert not to(**META).takes("restatement")
    assert to(**GOOGLE).takes("retraction")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "https://t.example/?c={clickidd}"}, "Did you mean {click_id}?"), ({"url": "https://t.example/?c={foo}"}, "A parameter is {var:foo}"),
        ({"url": "https://t.example/?c=[CLICKIDD]"}, "Did you mean {click_id}?"), ({"url": "https://t.example/", "body": "x"}, "body: a GET has none"),
        ({"method": "POST", "body": "{payot}"}, "Did you mean {payout}?"), ({"headers": {"X": "a\nb"}}, "line breaks"), ({"headers": {"X Y": "a"}}, "pattern"),
        ({**META, "kind": "postback_url"}, "needs kind conversion_api"), ({**META, "tiktok": TIKTOK["tiktok"]}, "one platform"),
        ({**META, "method": "POST", "body": "x"}, "form of its own"), ({"kind": "conversion_api", "webhook": {"secrets": []}}, "at least 1"),
    ],
)  # fmt: skip
def test_what_is_refused_when_it_is_saved(settings, says):
    with pytest.raises(ValidationError) as caught:
        to(**settings)
    assert says in str(caught.value)


def test_macros_that_are_none_stay_text():
    assert list(outgoing.problems("https://t.example/a%20b?x[0]=1#top#__utm__--x--")) == []
    assert "click_id" in outgoing.shown()


def test_a_platform_needs_no_address_of_its_own():
    assert (
        Destination.model_validate({"id": "d", "name": "D", "kind": "conversion_api", "meta": META["meta"]}).url
        == "https://graph.facebook.com"
    )
