"""A payload into an event: total, exact, and agreeing with ingest about its home."""

import json
from hashlib import sha256
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.parse_cost import cost_us
from schemas.event import CONTENT_TYPE, METHOD, QUERY, SETTINGS_VERSION, SOURCE, Event
from schemas.identity import coordinates, event_id, home_of
from schemas.mapping import FIELDS, STATUS_WORDS
from streams.identifiers import key
from streams.parse import Parser, home
from streams.sealed import SEALED
from streams.workspace import SettingsBehind, Workspace
from tests.senders import clickbank

RECEIVED = 1_795_000_000_000
SECRET = b"pepper"
OK = {"cid": "c1", "transaction_id": "T1", "amount": "12.50", "status": "approved", "event": "Purchase"}


def parser(mapping=None, **source):
    workspace = Workspace()
    workspace.apply(0, "property", "shop", {"id": "shop", "name": "Shop", "account_id": "acme"})
    workspace.apply(1, "property", "blog", {"id": "blog", "name": "Blog", "account_id": "acme"})
    given_source = {"id": "net", "name": "Net", "kind": "postback", "property_id": "shop", "mapping": mapping or {}, **source}
    workspace.apply(2, "source", "net", given_source)
    return Parser(workspace, SECRET, 7)


def record(payload, version=b"2", sender=b"net", content_type=b"application/json", **headers):
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    found = [(SOURCE, sender), (SETTINGS_VERSION, version), (CONTENT_TYPE, content_type)]
    found += [(name.replace("_", "-"), item) for name, item in headers.items()]
    return SimpleNamespace(
        topic="clicktrail.payloads.v1",
        partition=3,
        offset=41,
        timestamp=RECEIVED,
        key=b"k",
        value=value,
        headers=[h for h in found if h[1] is not None],
    )


def parse(payload, mapping=None, *, source=None, **headers):
    return parser(mapping, **(source or {})).parse(record(payload, **headers))


def test_a_whole_event():
    """A03 A06: what was received, with its parameters, and name, value and click id."""
    event = parse(
        {**OK, "currency": "eur", "ip": "::ffff:10.0.0.1", "email": " Jane@Example.com", "ts": 1763910000, "extra": {"a": [1.10]}}
    )
    value = record(
        {**OK, "currency": "eur", "ip": "::ffff:10.0.0.1", "email": " Jane@Example.com", "ts": 1763910000, "extra": {"a": [1.10]}}
    ).value
    assert event == Event(
        event_id="e7-3-41", receipt_id=None, account_id="acme", property_id="shop", source_id="net", type="postback", received_ms=RECEIVED,
        event_ms=1763910000000, settings_version=2, conversion_name="Purchase", original_name="Purchase", conversion_status="approved",
        original_status="approved", value="12.5", currency="EUR", transaction_id="T1", reference=None, click_id="c1", click_param="cid",
        click_problem=None, refs=[("email", key("email", "jane@example.com", SECRET))], ref_text="Jane@Example.com", ip="10.0.0.1",
        is_test=False, problem=None,
        parameters={**OK, "currency": "eur", "ip": "::ffff:10.0.0.1", "email": " Jane@Example.com", "ts": "1763910000", "extra.a": "1.1", "extra.a.0": "1.1"},
        payload=value.decode(), payload_sha256=sha256(value).hexdigest(), fingerprint=sha256(value).hexdigest(), topic="clicktrail.payloads.v1", partition=3, offset=41,
    )  # fmt: skip


def test_the_id_of_an_event_is_its_coordinates():
    assert coordinates(event_id(1, 2, 3)) == (1, 2, 3)
    for text in ("", "e1-2", "x1-2-3", "e1-2-03", "e1-2-3-4"):
        with pytest.raises(ValueError):
            coordinates(text)


@pytest.mark.parametrize(
    ("addresses", "payload", "click_id", "param"),
    [
        (["cid"], {"cid": "c1"}, "c1", "cid"),
        (["sub5"], {"cid": "c1"}, None, "sub5"),
        (["sub_id"], {"SUB-ID": "c1"}, "c1", "SUB-ID"),
        (["aff_sub", "sub5"], {"sub5": "c2", "aff_sub": " "}, "c2", "aff_sub"),
        (["aff_sub", "sub5"], {"sub5": "", "x": "1"}, None, "sub5"),
        (["data.click.id"], {"data": {"click": {"id": "c3"}}}, "c3", "data.click.id"),
        (["notes.0.value"], {"notes": [{"value": "c4"}]}, "c4", "notes.0.value"),
        (["cid"], {"CID": "other", "cid": "c5"}, "c5", "cid"),  # the spelling of the mapping goes first
        (["cid", "sub1"], {"cid": "{clickid}", "sub1": "c6"}, "c6", "cid"),  # a macro in one slot does not hide an id in the next
        (None, {"sub1": "c7"}, "c7", "sub1"),
        (None, {"clickid": "c8", "sub1": "x"}, "c8", "clickid"),
        (None, {}, None, "click_id"),
        (["=fixed"], {}, "fixed", "fixed"),
    ],
)
def test_click_id_stands_where_the_mapping_says(addresses, payload, click_id, param):
    """A26 A27: the parameter is the integration's own, and it is the one that the error quotes."""
    event = parse(payload, {"click_id": addresses} if addresses else None)
    assert (event["click_id"], event["click_param"]) == (click_id, param)


@pytest.mark.parametrize(
    ("value", "problem"), [("--CLICK-ID--", "macro_unexpanded"), ("{clickid}", "macro_unexpanded"), ("null", "placeholder"), ("", None)]
)
def test_what_is_no_click_id_is_none_passed(value, problem):
    """A29, rule 9."""
    event = parse({"cid": value})
    assert (event["click_id"], event["click_problem"], event["click_param"]) == (None, problem, "cid")


def test_macros_and_placeholders_are_no_transaction_ids():
    """Otherwise all sales would be duplicates of the first."""
    for value in ("{transaction_id}", "null", "#CONVERSIONID#", " "):
        assert parse({"transaction_id": value})["transaction_id"] is None
    assert parse({"transaction_id": "{x}", "order_id": "T2"}, {"transaction_id": ["order_id"]})["transaction_id"] == "T2"


def test_json_numbers_are_exact():
    event = parse(b'{"transaction_id":12345678901234567890123,"amount":10.10,"cid":9007199254740993}')
    assert (event["transaction_id"], event["value"], event["click_id"]) == ("12345678901234567890123", "10.1", "9007199254740993")


@pytest.mark.parametrize(
    ("word", "status"), [*STATUS_WORDS.items(), (" Approved ", "approved"), ("VOIDED", "rejected"), ("whatever", "unknown")]
)
def test_status_words(word, status):
    """A09: compared trimmed and case-folded; an unknown word is never ok."""
    event = parse({**OK, "status": word})
    assert (event["conversion_status"], event["original_status"]) == (status, word.strip())
    assert event["is_test"] == (status == "test")


def test_the_source_s_own_words_go_first():
    event = parse({**OK, "status": "OPEN"}, {"statuses": {"open": "approved"}})
    assert event["conversion_status"] == "approved"


@pytest.mark.parametrize(("default", "status"), [(None, "unknown"), ("approved", "approved"), ("pending", "pending")])
def test_a_missing_status_is_what_the_source_says(default, status):
    for payload in ({"cid": "c1"}, {"cid": "c1", "status": " "}):
        event = parse(payload, {"default_status": default})
        assert (event["conversion_status"], event["original_status"]) == (status, None)


@pytest.mark.parametrize(
    ("mapping", "payload", "name", "original"),
    [
        ({}, {"event": "Anything"}, "Anything", "Anything"),
        ({"events": {"sale": "Purchase"}}, {"event": " SALE "}, "Purchase", "SALE"),
        ({"events": ["Purchase", "Lead"]}, {"event": "AddToCart"}, None, "AddToCart"),
        ({}, {"amount": "5"}, "Purchase", None),
        ({}, {"amount": "0.00"}, "Lead", None),
        ({}, {}, "Lead", None),
        ({"default_event": "Signup"}, {"amount": "5"}, "Signup", None),
        ({"events": {"x": "Lead"}}, {"amount": "5"}, None, None),
        ({"events": {"x": "Lead"}}, {"amount": "0"}, "Lead", None),
        ({}, {"event": "{event}", "amount": "1"}, "Purchase", None),
        ({"event": ["=Lead"]}, {"event": "Purchase"}, "Lead", "Lead"),
    ],
)
def test_conversion_names(mapping, payload, name, original):
    """A10: only mapped names are tracked; without a name, value 0 is Lead and more is Purchase."""
    event = parse(payload, mapping)
    assert (event["conversion_name"], event["original_name"]) == (name, original)


@pytest.mark.parametrize(
    ("mapping", "payload", "money"),
    [
        ({}, {"amount": "1.234,56", "currency": "eur"}, ("1234.56", "EUR")),
        ({}, {"amount": "10 GBP"}, ("10", "GBP")),
        ({}, {"amount": "$10"}, ("10", "USD")),
        ({}, {"amount": "10"}, ("10", "USD")),
        ({"currency": ["cur", "=CHF"]}, {"amount": "10"}, ("10", "CHF")),
        ({"minor_units": True}, {"amount": "1050", "currency": "JPY"}, ("1050", "JPY")),
        ({"minor_units": True}, {"amount": 1050, "currency": "KWD"}, ("1.05", "KWD")),
        ({}, {"amount": "-5"}, ("-5", "USD")),
        ({}, {"amount": ""}, (None, None)),
        ({}, {"amount": "{payout}"}, (None, "USD")),
        ({}, {"amount": "", "payout": "7"}, ("7", "USD")),
    ],
)
def test_money(mapping, payload, money):
    event = parse(payload, mapping)
    assert (event["value"], event["currency"]) == money


@pytest.mark.parametrize(
    ("payload", "notes"),
    [
        ({"amount": "{payout}"}, {"(value)": "'{payout}' is no amount, the payload counts as one without"}),
        ({"amount": "5", "currency": "dollars"}, {"(currency)": "'dollars' is no currency, USD was taken"}),
        ({"amount": "5 EUR", "currency": "?"}, {"(currency)": "'?' is no currency, EUR was taken"}),
        ({"amount": "5", "currency": "{currency}"}, {"(currency)": "'{currency}' is no currency, USD was taken"}),
        ({"currency": "dollars"}, {"(currency)": "'dollars' is no currency"}),
        ({"ts": "yesterday"}, {"(time)": "'yesterday' is no time that can be read, the time of receipt was taken"}),
        ({"ts": "2031-01-01"}, {"(time)": "'2031-01-01' lies after receipt, the time of receipt was taken"}),
        ({"amount": "5", "currency": "null", "ts": "n/a"}, {}),
        ({"amount": "5", "currency": "€", "ts": "1763910000"}, {}),
        ({"amount": "5", "ts": str(RECEIVED)}, {}),
    ],
)
def test_what_is_there_and_cant_be_used_leaves_a_note(payload, notes):
    """Rule 13, nothing is silent: a default that takes the place of a value says so on the row."""
    parameters = parse(payload)["parameters"]
    assert {name: text for name, text in parameters.items() if name.startswith("(")} == notes


def test_refs_come_in_the_order_of_priority():
    """A22 A23: e-mail, then phone, then external ids; the first is quoted as it was passed."""
    event = parse({"user_id": "u1", "customer_id": "k1", "phone": "+1 650 555 1212", "email": "guest"})
    assert event["refs"] == [
        ("phone", key("phone", "16505551212", SECRET)),
        ("external_id", key("external_id", "u1", SECRET)),
        ("external_id", key("external_id", "k1", SECRET)),
    ]
    assert event["ref_text"] == "+1 650 555 1212"


@pytest.mark.parametrize(
    ("mapping", "payload", "is_test"),
    [
        ({}, {"test": "1"}, True), ({}, {"test": True}, True), ({}, {"test": "0"}, False), ({}, {"test": ""}, False),
        ({"test": ["!livemode"]}, {"livemode": False}, True), ({"test": ["!livemode"]}, {"livemode": True}, False), ({}, {"status": "TEST"}, True),
        ({"statuses": {"TEST_SALE": "test"}}, {"status": "test_sale"}, True),
    ],
)  # fmt: skip
def test_test_data_is_marked(mapping, payload, is_test):
    """A11."""
    assert parse(payload, mapping)["is_test"] is is_test


def test_times_are_in_the_zone_of_the_source():
    event = parse({"time": "2025-11-23 16:00:00"}, source={"timezone": "Europe/Berlin"})
    assert (event["event_ms"], event["received_ms"]) == (1763910000000, RECEIVED)
    assert parse({"time": "2031-01-01"})["event_ms"] == RECEIVED


@pytest.mark.parametrize(
    ("payload", "source", "property_id", "problem"),
    [
        ({"property_id": "blog"}, {"properties": ["blog"]}, "blog", None),
        ({"property_id": "blog"}, {}, "shop", ("unauthorized_asset", "blog")),
        ({"property_id": "gone"}, {"properties": ["gone"]}, "shop", ("unauthorized_asset", "gone")),
        ({}, {"property_id": "gone"}, "gone", ("unauthorized_asset", "gone")),
        ({"property_id": ""}, {}, "shop", None),
    ],
)
def test_properties_must_be_bound_to_the_source(payload, source, property_id, problem):
    """A34 A38."""
    event = parse(payload, source=source)
    assert (event["property_id"], event["problem"]) == (property_id, problem)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"sender": b"other"}, "source other"),
        ({"version": b"1"}, "source net"),
        ({"version": b"x"}, "source net"),
        ({"version": None}, "source net"),
        ({"version": b"9" * 30}, "source net"),
    ],
)
def test_a_source_that_does_not_exist_at_that_version(headers, detail):
    """A34: and it is a row all the same, with its parameters."""
    event = parse(OK, **headers)
    assert event["problem"] == ("unauthorized_asset", detail)
    assert event["parameters"] == OK


def test_a_version_that_is_not_applied_yet_is_waited_for():
    with pytest.raises(SettingsBehind):
        parse(OK, version=b"3")


def test_unreadable_payloads_are_events_with_a_problem():
    event = parse(b'{"cid":"c1"')
    assert event["problem"][0] == "unreadable_payload"
    assert event["conversion_name"] is None
    assert event["payload"] == '{"cid":"c1"'
    assert parse(b"\xff\xfe\x00")["payload_b64"] == "//4A"
    assert "payload" not in parse(b"cid=\xe9", content_type=b"text/plain")


def test_a_sealed_payload_is_kept_as_it_came_and_read_as_it_is_inside():
    """A03: the bytes of the log are those that were received; what the verdict needs is what they hold."""
    made = parser({"click_id": "tid", "transaction_id": "receipt"}, auth={"kind": "clickbank", "secret": "SECRET"})
    body = clickbank("SECRET", {"receipt": "R1", "tid": "c1"})
    event = made.parse(record(body))
    assert (event["click_id"], event["transaction_id"], event["parameters"]) == ("c1", "R1", {"receipt": "R1", "tid": "c1"})
    assert (event["payload"], event["payload_sha256"]) == (body.decode(), sha256(body).hexdigest())
    assert made.route(made._workspace.source("net", 2), body, record(body).headers) == home(event) == "acme|shop|R1"
    assert made.parse(record(b'{"receipt": "R1"}'))["problem"] == ("unreadable_payload", SEALED)


def test_query_string_of_get_and_post():
    assert parse(b"cid=c1&amount=5", content_type=None, method=b"GET")["click_id"] == "c1"
    event = parser().parse(record(b'{"amount":"5"}', **{QUERY: b"cid=c1"}))
    assert (event["click_id"], event["value"]) == ("c1", "5")


def test_repeated_parameters_give_the_first_that_is_not_empty():
    assert parse(b"cid=&cid=c2&cid=c3", content_type=b"application/x-www-form-urlencoded")["click_id"] == "c2"


@pytest.mark.parametrize(
    ("payload", "subject"),
    [
        ({"transaction_id": "T1", "cid": "c1"}, "T1"),
        ({"cid": "c1"}, "c1"),
        ({"transaction_id": "{tx}", "cid": "c1"}, "c1"),
        ({"transaction_id": "R1", "reference": "T1", "cid": "c1"}, "T1"),
        ({"cid": "{x}", "email": "a@b.de"}, None),
        ({"transaction_id": "T" * 300}, sha256(b"T" * 300).hexdigest()),
        (b"{broken", None),
    ],
)
def test_home(payload, subject):
    """A17: what shares a transaction id meets, whatever source it came from."""
    event = parse(payload)
    assert home(event) == f"acme|shop|{subject or event['payload_sha256']}"
    assert home(event) == home_of("acme", "shop", event["reference"], event["transaction_id"], event["click_id"], event["payload_sha256"])


def test_events_share_nothing_that_changes():
    made = parser()
    first, second = made.parse(record(OK)), made.parse(record({"email": "a@b.de"}))
    assert first["refs"] == []
    assert len(second["refs"]) == 1
    assert first["parameters"] is not second["parameters"]


def test_memory_is_bounded_against_senders_that_never_repeat():
    made = parser()
    for i in range(1500):
        made.parse(record({f"k{i}": "1", "status": f"s{i}", "event": f"e{i}"}, content_type=b"text/%d" % i))
    rules = made._workspace.source("net", 2)
    assert len(rules.lookup._shapes) <= 512
    assert len(rules.status_memo) <= 1000
    assert len(rules.event_memo) <= 1000


names = st.sampled_from(
    [
        "cid",
        "click_id",
        "transaction_id",
        "amount",
        "currency",
        "status",
        "event",
        "ip",
        "email",
        "phone",
        "ts",
        "test",
        "property_id",
        *FIELDS,
        "",
    ]
)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False)
    | st.sampled_from(["c1", "T1", "blog", "{x}", "approved", "1e999", "+49", "::1"])
)
bodies = st.binary() | st.dictionaries(names | st.text(), values | st.lists(values, max_size=3), max_size=8).map(
    lambda data: json.dumps(data).encode()
)
bodies |= bodies.map(lambda clear: clickbank("SECRET", clear, bytes(16)))
header_values = st.binary(max_size=40) | st.sampled_from(
    [b"net", b"0", b"1", b"2", b"-1", b"GET", b"POST", b"application/json", b"text/xml", b"a=1&cid=c9"]
)
header_names = st.sampled_from([SOURCE, SETTINGS_VERSION, CONTENT_TYPE, METHOD, QUERY, "ip", "x"])
MAPPINGS = ({}, {"click_id": ["cid", "=c0"], "minor_units": True, "date_formats": ["%d %z"], "events": ["Lead"]})
PARSERS = [parser(mapping, properties=["blog"]) for mapping in MAPPINGS]
PARSERS += [parser(preset=name) for name in ("cj", "shopify", "stripe", "woocommerce")]
PARSERS += [parser(preset="clickbank", auth={"secret": "SECRET"})]


@given(st.sampled_from(PARSERS), bodies, st.lists(st.tuples(header_names, header_values), max_size=8), st.booleans())
def test_total_and_agreed_with_ingest(made, value, headers, is_known):
    """Rule 13: every payload becomes an event, whatever its bytes and headers; ingest's key is the ledger's home."""
    if is_known:
        headers = [*headers, (SOURCE, b"net"), (SETTINGS_VERSION, b"2")]
    given_record = SimpleNamespace(topic="t", partition=0, offset=0, timestamp=RECEIVED, key=None, value=value, headers=headers)
    try:
        event = made.parse(given_record)
    except SettingsBehind as behind:
        assert behind.version > 2  # noqa: PT017 - the version of the headers, and nothing else, is waited for
        return
    json.dumps(event).encode()
    assert set(Event.__required_keys__) <= set(event)
    assert ("payload" in event) != ("payload_b64" in event)
    assert event["event_ms"] <= event["received_ms"]
    assert all(
        item is None or item
        for name, item in event.items()
        if name in {"click_id", "transaction_id", "reference", "value", "currency", "ip"}
    )
    assert event == made.parse(given_record)
    if is_known:
        rules = made._workspace.source("net", 2)
        assert made.route(rules, value, headers) == home(event)


def test_the_hot_path_stays_hot():
    """Performance: 8.3 to 9.3 us here while others use the machine; the bound leaves room for worse."""
    assert cost_us(2000, 5) < 30


@pytest.mark.parametrize(
    ("body", "is_kept_by_customer"),
    [
        ({"email": "ann@example.com", "txid": "T1"}, True),
        ({"email": " ANN@example.com", "reference": "T0"}, True),
        ({"email": "n/a", "txid": "T1"}, False),
        ({"phone": "+4930123", "txid": "T1"}, False),
    ],
)
def test_the_key_that_ingest_chooses_is_the_home_of_the_customer(body, is_kept_by_customer):
    """One referral per customer: ingest and the ledger must name the same home, whatever else the payload says."""
    made = parser(kind="referral", fraud={"one_referral_per": "email"})
    given_record = record(body)
    event = made.parse(given_record)
    assert made.route(made._workspace.source("net", 2), given_record.value, given_record.headers) == home(event)
    assert home(event).startswith("acme|shop|referee:") is is_kept_by_customer


@pytest.mark.parametrize(
    ("body", "source", "said"),
    [
        ({"amount": "-3", "status": "approved"}, {}, ("reversed", "approved", True)),
        ({"amount": "-3", "status": ""}, {"mapping": {"default_status": "approved"}}, ("reversed", None, True)),
        ({"amount": "-3", "status": "refunded"}, {}, ("refunded", "refunded", None)),
        ({"amount": "-3", "status": "pending"}, {}, ("pending", "pending", None)),
        ({"amount": "0", "status": "approved"}, {}, ("approved", "approved", None)),
        ({"amount": "-0", "status": "approved"}, {}, ("approved", "approved", None)),
        # deltas of a source that adds them up
        (
            {"amount": "-3", "status": "approved"},
            {"dedup": {"mode": "add_value", "transaction_window_days": 30}},
            ("approved", "approved", None),
        ),
    ],
)
def test_a_negative_amount_that_is_approved_is_an_adjustment(body, source, said):
    """A correction like CJ's, by a sender that has no word for it: it belongs to the sale that it corrects."""
    event = parser(**source).parse(record(body))
    assert (event["conversion_status"], event["original_status"], event.get("adjusts")) == said
