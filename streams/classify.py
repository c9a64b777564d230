"""The verdicts that a payload carries in itself: everything that is judged before duplicates are looked for, and without state.

The order of judgement is data (rule 6): STEPS, read from top to bottom; the first step that objects decides. The ledger goes on where this
ends. Two kinds of event pass although they look like a discard: a test that carries an identifier is judged by whether that resolves, and a
reversal, refund or chargeback is about an earlier conversion, so its place is decided beside its parent (NEEDS_PARENT).
"""

from collections.abc import Callable

from schemas.event import Event
from schemas.mapping import APPROVED, TAKEN_BACK, TEST
from schemas.reasons import FILTERED_EVENT, FRAUD_RULE, TEST_DATA, UNAUTHORIZED_ASSET, UNREADABLE_PAYLOAD, WRONG_STATUS

NEEDS_PARENT = "needs_parent"
"""Not a reason: what `classify` answers for a reversal, refund or chargeback; the detail is its canonical status."""

PASSED = "passed"
NO_WORD = "(none)"

Verdict = tuple[str, str | None]
Step = Callable[[Event], Verdict | None]


def _property(event: Event) -> Verdict | None:
    """A34: the property is one that the source may use."""
    problem = event["problem"]
    return problem if problem and problem[0] == UNAUTHORIZED_ASSET else None


def _payload(event: Event) -> Verdict | None:
    """The payload could be read."""
    problem = event["problem"]
    return problem if problem and problem[0] == UNREADABLE_PAYLOAD else None


def _test(event: Event) -> Verdict | None:
    """A11: a test without anything that could resolve to a visit."""
    return (TEST_DATA, None) if event["is_test"] and not event["click_id"] and not event["refs"] else None


def _status(event: Event) -> Verdict | None:
    """A09: only approved conversions are tracked; the message shows the sender's own word."""
    status = event["conversion_status"]
    if status in (APPROVED, TEST):
        return None
    if status in TAKEN_BACK:
        return NEEDS_PARENT, status
    return WRONG_STATUS, event["original_status"] or NO_WORD


def _name(event: Event) -> Verdict | None:
    """A10: the name is one that the conversion mapping tracks."""
    return (FILTERED_EVENT, event["original_name"] or NO_WORD) if event["conversion_name"] is None else None


STEPS: tuple[tuple[str, Step], ...] = (
    ("property", _property),
    ("payload", _payload),
    ("test", _test),
    ("status", _status),
    ("name", _name),
)
"""The order of judgement: (name of the step in a trace, the rule)."""

_ALL_PASSED = [[name, PASSED, ""] for name, _ in STEPS]
_FROM_START = tuple(enumerate(STEPS))
_FROM_STATUS = _FROM_START[3:]  # the steps before it object only to what has a problem or is a test


def judge(event: Event) -> tuple[Verdict | None, list[list[str]]]:
    """`classify` and `trace` in one pass, for the ledger: half a microsecond for the usual payload.

    The inner lists of the trace are shared: append to the outer one, change none.
    """
    for reached, (name, step) in _FROM_STATUS if event["problem"] is None and not event["is_test"] else _FROM_START:
        verdict = step(event)
        if verdict is not None:
            reason, detail = verdict
            return verdict, [*_ALL_PASSED[:reached], [name, reason, detail or ""]]
    if "fraud" in event:  # no step of the table: only sources with such rules show it
        rule = event["fraud"][1]
        return (FRAUD_RULE, rule), [*_ALL_PASSED, ["fraud", FRAUD_RULE, rule]]
    return None, _ALL_PASSED.copy()


def classify(event: Event) -> Verdict | None:
    """(reason code, detail) of an event that is decided by itself, (NEEDS_PARENT, status), or None: on to duplicates."""
    return judge(event)[0]


def trace(event: Event) -> list[list[str]]:
    """[step, result, detail] up to the step that decides; an event that passes has all STEPS."""
    return judge(event)[1]
