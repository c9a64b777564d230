"""Our fields out of a payload's parameters, by the rules of its source.

`subject` finds what the payload is about (property, reference, transaction id, click id); ingest needs no more to choose the record's key,
and because `fill` stands on the same function, the key that ingest chose is the home that the ledger answers to.
"""

from typing import TypeVar

from schemas.event import Event, Identifier
from schemas.mapping import APPROVED, FIELDS, REVERSED, TAKEN_BACK, TEST, UNKNOWN
from schemas.reasons import PLACEHOLDER, UNAUTHORIZED_ASSET, UNREADABLE_PAYLOAD
from streams import fraud, identifiers, money
from streams.macros import blank_kind, given
from streams.shapes import Shape
from streams.times import event_ms
from streams.workspace import SourceRules

MEMO_LIMIT = 1000  # words remembered per source; a sender that never repeats a word must not fill the memory
_YES = frozenset(("1", "true", "yes", "y", "on", "t", "test", "sandbox"))
_NO = frozenset(("0", "false", "no", "n", "off", "f"))
_PROPERTY, _EMAIL = FIELDS.index("property"), FIELDS.index("email")

Found = tuple[str | None, ...]
_Words = TypeVar("_Words")


Subject = tuple[str, str | None, str | None, str | None, str | None, str | None, Shape, Found]
"""(property id, asset that is not authorised, reference, transaction id, click id, click problem, shape, found): a plain tuple,
because making a NamedTuple costs 0.2 us more and this one is unpacked where it is returned to."""


def subject(rules: SourceRules, parameters: dict[str, str]) -> Subject:
    """The payload's property, reference, transaction id and click id; unexpanded macros and placeholders are none."""
    shape = rules.lookup.shape(parameters)
    found = shape.pick([*parameters.values(), None])
    if shape.alternatives:
        found = _complete(found, shape, parameters)
    click_id, transaction_id, reference = found[:3]
    click_problem = None
    # Letters and digits together are an id for certain, and nearly all ids are that; asking here saves two calls each (0.2 us).
    if click_id and (click_id.isalpha() or not click_id.isalnum() or click_id == "0"):
        click_id, click_problem = _click(click_id, shape, parameters)
    if transaction_id and (transaction_id.isalpha() or not transaction_id.isalnum() or transaction_id == "0"):
        transaction_id = given(transaction_id)
    if reference:
        reference = given(reference)
    property_id, foreign = rules.property_id, None
    asset = given(found[_PROPERTY]) or property_id
    if asset in rules.policies:
        property_id = asset
    else:
        foreign = asset
    return property_id, foreign, reference or None, transaction_id or None, click_id or None, click_problem, shape, found


def fill(event: Event, rules: SourceRules, pii_key: bytes) -> None:
    """Put what the payload says into the event; `event["parameters"]` has its parameters, `received_ms` its time of receipt."""
    parameters = event["parameters"]
    property_id, foreign, reference, transaction_id, click_id, click_problem, shape, found = subject(rules, parameters)
    if foreign is not None:
        event["problem"] = (UNAUTHORIZED_ASSET, foreign)
    event["property_id"] = property_id
    event["reference"] = reference
    event["transaction_id"] = transaction_id
    event["click_id"] = click_id
    if click_problem:
        event["click_problem"] = click_problem
    event["click_param"] = shape.click_param
    _, _, _, name, status, value, currency, email, phone, external, address, time, _, _ = found
    _fill_money(event, rules, value, currency, shape.inside_value)
    _fill_words(event, rules, name, status)
    if shape.tests and _is_test(shape, parameters):
        event["is_test"] = True
    if time:
        event["event_ms"], cause = event_ms(time, event["received_ms"], rules.zone, rules.date_formats)
        if cause:
            _note(event, "time", time, f"{cause}, the time of receipt was taken")
    if address:
        _fill_ip(event, address)
    if email or phone or external:
        _fill_refs(event, rules, _texts(email, phone, external, shape, parameters), pii_key)
    if rules.fraud is not None:
        fraud.look(event, rules.fraud, email)


def referee(rules: SourceRules, subject: Subject, parameters: dict[str, str], pii_key: bytes) -> str | None:
    """The customer by whom a source with one referral per customer keeps its payloads: `fill` says the same."""
    kind = rules.fraud and rules.fraud.referee
    if not kind:
        return None
    property_id, shape, found = subject[0], subject[6], subject[7]
    texts = _texts(found[_EMAIL], found[_EMAIL + 1], found[_EMAIL + 2], shape, parameters)
    gmail_aliases = _is_gmail_one(rules, property_id)
    keys = (identifiers.key(kind, text, pii_key, gmail_aliases) for of, text in texts if of == kind)
    return next((key for key in keys if key is not None), None)


def _complete(first_found: Found, shape: Shape, parameters: dict[str, str]) -> Found:
    """Fields with several addresses or with transforms: the first value that is not empty, at last the constant."""
    found = list(first_found)
    for field, getters, constant in shape.alternatives:
        first = found[field]
        if not first or first.isspace():
            others = (get(parameters) for get in getters)
            found[field] = next((other for other in others if other and not other.isspace()), constant or first)
    return tuple(found)


def _click(first: str, shape: Shape, parameters: dict[str, str]) -> tuple[str | None, str | None]:
    """(click id, why a value that is there is none): a macro in one slot does not hide an id in the next."""
    click_id = first.strip()
    problem = blank_kind(click_id) if click_id else None
    if click_id and not problem:
        return click_id, None
    others = (given(get(parameters)) for get in shape.clicks)
    other = next((value for value in others if value), None)
    return (other, None) if other else (None, problem)


def _fill_ip(event: Event, text: str) -> None:
    event["ip"] = identifiers.ip(text)
    if event["ip"] is None:
        _note(event, "ip", text, "is no IP address")


def _fill_money(event: Event, rules: SourceRules, text: str | None, currency: str | None, inside: str | None) -> None:
    code = named = currency if currency == rules.currency else money.currency_code(currency)
    if text:
        if code is None:
            code = money.currency_in(text) or rules.currency
        event["value"] = money.amount(text, code, rules.minor_decimals)
        if event["value"] is None:
            if given(text) is not None:  # half a sale is no sale: it must be seen, not recorded as 0
                event["problem"] = event["problem"] or (UNREADABLE_PAYLOAD, f"{text[:40]!r} is no amount")
            else:
                _note(event, "value", text, "is no amount, the payload counts as one without")
    elif inside is not None:
        event["problem"] = event["problem"] or (UNREADABLE_PAYLOAD, inside)
    event["currency"] = code
    if named is None and currency:
        _note(event, "currency", currency, f"is no currency, {code} was taken" if code else "is no currency")


def _note(event: Event, field: str, text: str, what: str) -> None:
    """Leave a trace of a value that was there and could not be used: beside the parameters, in a name that no sender writes."""
    text = text.strip()
    if text and blank_kind(text) != PLACEHOLDER:
        event["parameters"][f"({field})"] = f"{text[:40]!r} {what}"


def _fill_words(event: Event, rules: SourceRules, name: str | None, status: str | None) -> None:
    """The sender's event name and status word, as sent and as ours."""
    named = rules.event_memo.get(name) if name else None
    event["original_name"], event["conversion_name"] = named or _named(rules, name, event["value"])
    judged = rules.status_memo.get(status) if status else None
    event["original_status"], event["conversion_status"] = judged or _status(rules, status)
    if event["conversion_status"] == TEST:
        event["is_test"] = True
    elif rules.says_left and event["conversion_status"] in TAKEN_BACK:
        event["says_left"] = True
    value = event["value"]
    if value and value[0] == "-" and event["conversion_status"] == APPROVED and rules.dedup.mode != "add_value":
        event["conversion_status"], event["adjusts"] = REVERSED, True  # nobody sells for less than nothing


def _named(rules: SourceRules, text: str | None, value: str | None) -> tuple[str | None, str | None]:
    """(the sender's event name, our conversion name or None when it is not mapped)."""
    word = given(text)
    if word is None or text is None:
        name = rules.default_event or ("Purchase" if value and value != "0" else "Lead")
        is_tracked = rules.default_event or rules.events is None or name in rules.events.values()
        return None, name if is_tracked else None
    found = word, word if rules.events is None else rules.events.get(word.casefold())
    return _remember(rules.event_memo, text, found)


def _status(rules: SourceRules, text: str | None) -> tuple[str | None, str]:
    """(the sender's status word, the canonical status); a missing word is what the source says, and else not approved."""
    word = text.strip() if text else ""
    if not word or text is None:
        return None, rules.default_status or UNKNOWN
    return _remember(rules.status_memo, text, (word, rules.statuses.get(word.casefold(), UNKNOWN)))


def _remember(memo: dict[str, _Words], text: str, found: _Words) -> _Words:
    if len(memo) >= MEMO_LIMIT:
        memo.clear()
    memo[text] = found
    return found


def _is_test(shape: Shape, parameters: dict[str, str]) -> bool:
    return any((get(parameters) or "").strip().lower() in (_YES if marks else _NO) for get, marks in shape.tests)


def _texts(email: str | None, phone: str | None, external: str | None, shape: Shape, parameters: dict[str, str]) -> list[tuple[str, str]]:
    """(kind, value as passed) of the refIds, in the order in which they are tried (A23)."""
    texts: list[tuple[str, str]] = []
    if email:
        texts.append((identifiers.EMAIL, email))
    if phone:
        texts.append((identifiers.PHONE, phone))
    if external:
        found = [value for value in (get(parameters) for get in shape.externals) if value]
        texts += [(identifiers.EXTERNAL_ID, value) for value in found or [external]]
    return texts


def _fill_refs(event: Event, rules: SourceRules, texts: list[tuple[str, str]], pii_key: bytes) -> None:
    """The refIds as keys; the first that is a value is quoted in messages as it was passed."""
    gmail_aliases = _is_gmail_one(rules, event["property_id"])
    refs: list[Identifier] = event["refs"]
    for kind, text in texts:
        key = identifiers.key(kind, text, pii_key, gmail_aliases)
        if key is not None and (kind, key) not in refs:
            refs.append((kind, key))
            if event["ref_text"] is None:
                event["ref_text"] = text.strip()


def _is_gmail_one(rules: SourceRules, property_id: str) -> bool:
    policy = rules.policies.get(property_id)
    return policy is not None and policy.gmail_aliases
