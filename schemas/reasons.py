"""Every status, reason and sub-reason, with the words that people read: one entry each, and nowhere else.

One model, three vocabularies (rule 1): `status` is the log's own, `view_status` is how the Referral Rock view shows it, is_error is status
"error". Both are columns here, so that no page, query or stage translates by itself. Messages keep the words of the product page in
`seed`; a reader who searches the web for the message finds that page's advice. A template has at most one slot, `{...}`.
"""

from typing import NamedTuple

OK, DISCARDED, DEDUPLICATED, ERROR = "ok", "discarded", "deduplicated", "error"
SUCCESS, INFO, FAILURE = "success", "info", "failure"
LONGEST_DETAIL = 500  # characters of a sender's word in a message
REFERRAL_KIND = "referral"  # the kind of source whose unknown member links are information, not errors

RECORDED = "recorded"
WRONG_STATUS = "wrong_status"
FILTERED_EVENT = "filtered_event"
TEST_DATA = "test_data"
INVALID_MEMBER_LINK = "invalid_member_link"
FRAUD_RULE = "fraud_rule"
DUPLICATE = "duplicate"
CANT_FIND_REFID = "cant_find_refid"
NO_CLICK_ID = "no_click_id"
UNKNOWN_CLICK_ID = "unknown_click_id"
CANT_FIND_EVENT = "cant_find_event"
UNAUTHORIZED_ASSET = "unauthorized_asset"
NO_IP_MATCH = "no_ip_match"
UNREADABLE_PAYLOAD = "unreadable_payload"


class Status(NamedTuple):
    """What became of a payload. `is_action_needed` is false for the three that "work as expected"."""

    code: str
    title: str
    colour: str
    is_action_needed: bool
    doc: str
    seed: str


class Reason(NamedTuple):
    """Why a payload has its status: the message that the row carries, what causes it, and what to do next."""

    code: str
    status: str
    title: str
    message: str
    view_status: str
    seed: str
    causes: tuple[str, ...]
    remedy: str
    referral_view: str | None = None  # the view status where it differs for a source of kind referral


class SubReason(NamedTuple):
    """The cause behind a reason, where the pipeline knows it. `text` completes the sentence "… because"."""

    code: str
    reasons: tuple[str, ...]
    text: str
    remedy: str


STATUSES = (
    Status(OK, "OK", "green", False, "The conversion was recorded.", "A05"),
    Status(DISCARDED, "Discarded", "gray", False, "Received and intentionally skipped: normal behaviour, not an error.", "A08"),
    Status(DEDUPLICATED, "Deduplicated", "gray", False, "This exact conversion was already processed; the duplicate is skipped.", "A12"),
    Status(ERROR, "Error", "red", True, "Something prevents tracking; the message names one issue that can be fixed.", "A19"),
)

REASONS = (
    Reason(RECORDED, OK, "Recorded", "Conversion recorded", SUCCESS, "A05", (), "Nothing to do."),
    Reason(
        WRONG_STATUS, DISCARDED, "Wrong conversion status", "Wrong conversion status: {word}", INFO, "A09",
        ("The sender reports a sale that is pending, rejected or taken back", "The sender's status word is not known here"),
        "Nothing to do when the sale is not approved yet. If this word means approved, add it to the statuses of the source's mapping.",
    ),
    Reason(
        FILTERED_EVENT, DISCARDED, "Filtered event type", "Filtered event type: {name}", INFO, "A10",
        ("The event type is not in the Conversion Mapping of the source",),
        "Nothing to do if this type is not wanted. Otherwise add it to the events of the source's mapping.",
    ),
    Reason(
        TEST_DATA, DISCARDED, "Test or sandbox data", "Test or sandbox data", INFO, "A11",
        ("The sender fired a test conversion without a click id or refId of a real visit",),
        "Nothing to do. To see a test recorded, click a tracking link first and pass its click id.",
    ),
    Reason(
        INVALID_MEMBER_LINK, DISCARDED, "Invalid member link", "Information captured, referral not created: invalid member link", INFO, "R11",
        ("The conversion came without a member's referral link", "The test did not use a link of a member", "The member's link was removed"),
        "Open a member's referral link and repeat the conversion from there.",
    ),
    Reason(
        FRAUD_RULE, DISCARDED, "Fraud rule", "Information captured, referral not created: fraud rule {rule}", INFO, "R11",
        (
            "The conversion came sooner after its click than the property allows",
            "The customer is the member, was referred before, or has a blocked e-mail domain or address",
            "The member's link had as many referrals on that day as the source allows",
        ),
        "Nothing to do for fraud. While testing, see the sub-reason: it names the rule of the source or property that objects.",
    ),
    Reason(
        DUPLICATE, DEDUPLICATED, "Duplicate", "Already processed this exact conversion: {original}", INFO, "A12",
        (
            "The network fired the same postback twice for a single sale",
            "A webhook was retried after a timeout",
            "Several sources report the same transaction",
        ),
        "Nothing to do: the conversion was counted once.",
    ),
    Reason(
        CANT_FIND_REFID, ERROR, "Can't find refId", "Error: Can't find refId: {value}", FAILURE, "A20",
        (
            "The e-mail or identifier was never captured on the website (no form was filled, or the tag is not on the page of the form)",
            "The visitor used a different e-mail at checkout than on the landing page",
            "The attribution window expired before the conversion",
        ),
        "Check that the tag is on the page with the form, and pass the click id, which does not depend on what a visitor types.",
    ),
    Reason(
        NO_CLICK_ID, ERROR, "No click id value passed", 'Error: No click id value passed to the "{param}" parameter', FAILURE, "A26",
        (
            "The click id was not appended to the link or form (AutoTag is off, or the --CLICK-ID-- token is missing)",
            "The conversion source does not store or return the sub id",
            "The wrong parameter name stands in the postback URL",
        ),
        "Follow one click: it must be in the outgoing link, in the sender's report, and in the postback under the parameter of the mapping.",
    ),
    Reason(
        UNKNOWN_CLICK_ID, ERROR, "Unknown click id", "Error: Unknown click_id", FAILURE, "A30",
        ("The attribution window expired", "The click id was made by a different property"),
        "See the sub-reason: bind the source to the property that made the click, or widen the attribution window.",
        referral_view=INFO,  # R11: not testing with a valid member's referral link
    ),
    Reason(
        CANT_FIND_EVENT, ERROR, "Can't find event", "Error: Can't find event: {reference}", FAILURE, "A32",
        ("The initial event was not tracked (the tag is missing on the page)", "The sender refers to a transaction that was never recorded"),
        "Search the log for the referenced transaction id; if its first event is missing, fix how that one is sent.",
    ),
    Reason(
        UNAUTHORIZED_ASSET, ERROR, "Unauthorized asset", "Error: Unauthorized asset: {property}", FAILURE, "A34",
        ("The source is not connected to this property", "The postback URL or webhook points to the wrong source"),
        "Check the property of the source, and that the postback URL or webhook points to the right source.",
    ),
    Reason(
        NO_IP_MATCH, ERROR, "No IP match", "Error: No IP match", FAILURE, "A35",
        ("The visitor's IP address changed between click and conversion", "No visit with this IP address is in the attribution window"),
        "Pass the click id or an e-mail: matching by IP address is a fallback of lower accuracy.",
    ),
    Reason(
        UNREADABLE_PAYLOAD, ERROR, "Unreadable payload", "Error: Unreadable payload: {cause}", FAILURE, "A03",
        ("The body is cut off or is not what its content type claims", "The amount is none, or too large for money"),
        "Open the payload's raw bytes and compare them with the sender's documentation; fix its body template or content type.",
    ),
)  # fmt: skip

_MISSES = (UNKNOWN_CLICK_ID, CANT_FIND_REFID, NO_IP_MATCH, INVALID_MEMBER_LINK, TEST_DATA)

NEVER_SEEN, WINDOW_EXPIRED, OTHER_PROPERTY, CLICK_LATER = "never_seen", "window_expired", "other_property", "click_later"
MACRO_UNEXPANDED, PLACEHOLDER = "macro_unexpanded", "placeholder"
NO_STATUS, UNKNOWN_WORD, NOT_APPROVED, TAKEN_BACK = "no_status", "unknown_word", "not_approved", "taken_back"
ADJUSTED = "adjusted"
NO_IDENTIFIER, PARENT_MISSING, TOO_SOON = "no_identifier", "parent_missing", "too_soon"
BLOCKED_EMAIL, BLOCKED_NETWORK = "blocked_email", "blocked_network"
SELF_REFERRAL, DUPLICATE_REFEREE, OVER_DAILY_LIMIT = "self_referral", "duplicate_referee", "over_daily_limit"
SAME_TRANSACTION, SAME_CLICK_AND_VALUE, SAME_PAYLOAD = "same_transaction", "same_click_and_value", "same_payload"
SEVERAL_OBJECTS = "several_objects"
SOURCE_MISSING, PROPERTY_MISSING, PROPERTY_NOT_BOUND = "source_missing", "property_missing", "property_not_bound"

SUB_REASONS = (
    SubReason(NEVER_SEEN, _MISSES, "no click with this identifier was ever seen", "Check that the tag or tracking link records clicks."),
    SubReason(WINDOW_EXPIRED, _MISSES, "its click is older than the attribution window", "Widen the property's window if that is wanted."),
    SubReason(OTHER_PROPERTY, _MISSES, "its click belongs to another property", "Bind the source to that property."),
    SubReason(CLICK_LATER, _MISSES, "its only click came after the conversion", "Check the event time that the sender passes."),
    SubReason(
        MACRO_UNEXPANDED,
        (NO_CLICK_ID, INVALID_MEMBER_LINK),
        "the macro came back unexpanded",
        "Use the sender's own macro in the postback URL.",
    ),
    SubReason(
        PLACEHOLDER,
        (NO_CLICK_ID, INVALID_MEMBER_LINK),
        "a placeholder was passed instead of a value",
        "Leave the parameter empty, or pass a value.",
    ),
    SubReason(NO_STATUS, (WRONG_STATUS,), "no status was passed", "Set default_status of the mapping if this source sends none."),
    SubReason(UNKNOWN_WORD, (WRONG_STATUS,), "the status word is unknown", "Add the word to the statuses of the mapping."),
    SubReason(NOT_APPROVED, (WRONG_STATUS,), "the sale is pending or rejected", "Wait for the sender's approval."),
    SubReason(TAKEN_BACK, (WRONG_STATUS,), "the recorded sale was reversed, refunded or charged back", "See the linked conversion."),
    SubReason(ADJUSTED, (WRONG_STATUS,), "the recorded sale was corrected by a negative amount", "See the linked conversion."),
    SubReason(NO_IDENTIFIER, (TEST_DATA, NO_CLICK_ID, INVALID_MEMBER_LINK), "no click id and no refId was passed", "Pass the click id."),
    SubReason(PARENT_MISSING, (CANT_FIND_EVENT,), "no recorded conversion has this id", "See why the first event was not recorded."),
    SubReason(TOO_SOON, (FRAUD_RULE,), "it came too soon after its click", "Lower min_click_to_conversion_s if this is no fraud."),
    SubReason(BLOCKED_EMAIL, (FRAUD_RULE,), "the domain of its e-mail is blocked", "See fraud.blocked_email_domains of the source."),
    SubReason(BLOCKED_NETWORK, (FRAUD_RULE,), "its IP address is blocked", "See fraud.blocked_networks of the source."),
    SubReason(
        SELF_REFERRAL, (FRAUD_RULE,), "the customer is the member whose link was used", "Test with another e-mail than the member's."
    ),
    SubReason(DUPLICATE_REFEREE, (FRAUD_RULE,), "this customer was referred before", "Test with an e-mail that was not used yet."),
    SubReason(
        OVER_DAILY_LIMIT, (FRAUD_RULE,), "its member link had its referrals of the day", "See fraud.daily_limit_per_link of the source."
    ),
    SubReason(SAME_TRANSACTION, (DUPLICATE,), "its transaction id was recorded before", "Nothing to do."),
    SubReason(SAME_CLICK_AND_VALUE, (DUPLICATE,), "click id, name, value and currency were recorded before", "Pass a transaction id."),
    SubReason(SAME_PAYLOAD, (DUPLICATE,), "the same bytes were recorded before", "Pass a transaction id."),
    SubReason(SOURCE_MISSING, (UNAUTHORIZED_ASSET,), "the source does not exist", "Check the postback URL."),
    SubReason(PROPERTY_MISSING, (UNAUTHORIZED_ASSET,), "the property does not exist", "Create it, or choose another for the source."),
    SubReason(PROPERTY_NOT_BOUND, (UNAUTHORIZED_ASSET,), "the source may not use this property", "Add it to the source's properties."),
    SubReason(
        SEVERAL_OBJECTS,
        (UNREADABLE_PAYLOAD,),
        "it is several payloads in one request",
        "Send them to /in/<source_id>/bulk, one object per line (NDJSON), or one request each: every payload gets its own verdict.",
    ),
)

STATUS_BY_CODE = {status.code: status for status in STATUSES}
REASON_BY_CODE = {reason.code: reason for reason in REASONS}
SUB_REASON_BY_CODE = {sub_reason.code: sub_reason for sub_reason in SUB_REASONS}


def _halves(template: str) -> tuple[str, str, bool]:
    """What stands before and after the one slot of a template; cut once, so that a message costs one concatenation."""
    before, brace, rest = template.partition("{")
    return before, rest.partition("}")[2], bool(brace)


_TEXTS = {reason.code: _halves(reason.message) for reason in REASONS}


def message(code: str, detail: str | None = None) -> str:
    """The row's message: the reason's template with its slot filled. Without a detail the slot and its colon vanish; a long one is cut."""
    before, after, has_slot = _TEXTS[code]
    if not has_slot or detail is None:
        return f"{before}{after}".rstrip(": ")
    if len(detail) > LONGEST_DETAIL:  # a sender's word can be a megabyte; it stands in the parameters whole
        detail = f"{detail[:LONGEST_DETAIL]}…"
    return f"{before}{detail}{after}"


def view_status(code: str, kind: str = "") -> str:
    """success, info or failure, for a row of a source of this kind (rule 1)."""
    reason = REASON_BY_CODE[code]
    return reason.referral_view if kind == REFERRAL_KIND and reason.referral_view else reason.view_status
