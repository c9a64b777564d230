"""Addresses: how a mapping says where in a payload a value stands, and how it is got out of there.

    sub_id                                 a parameter; case, `_` and `-` are ignored
    order.customer.email, items.0.id       a path into JSON, XML or a bracketed form
    =USD                                   a constant
    !livemode                              the opposite of a flag (only for `test`)
    landing_site|query:click_id            a parameter, then one transform or more, from left to right

The transforms are a closed set, each there because a sender's payload can't be mapped without it; an expression language would have to be
sandboxed, explained and kept for ever, because old payloads are judged with old mappings. They are checked here, when a mapping is saved;
`streams/transforms.py` does them. What a transform does not find is an absent value, so the next address of the field is tried.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

CONSTANT, NEGATION, STEP = "=", "!", "|"
LONGEST_ADDRESS = 200


class Transform(NamedTuple):
    """One transform: how it is written, what it does, and which sender needs it."""

    form: str
    doc: str
    needed_by: str


TRANSFORMS = {
    "named": Transform("named:NAME", "of a list of {name or key, value} objects, the value of the one so named", "Shopify, WooCommerce"),
    "query": Transform("query:NAME", "of a URL, the value of a query parameter", "Shopify's landing_site"),
    "split": Transform("split:SEPARATOR:N", "part N of a packed value, from 0; -1 is the last", "senders with one sub id: ShareASale"),
    "starts": Transform("starts:PREFIX", "the value if it begins so, case counts", "Stripe, whose ids say what they are"),
    "when": Transform("when:VALUE=RESULT", "RESULT if the value is VALUE, whatever its case", "CJ's original=false, Impact's TEST_ACTION"),
}


class Step(NamedTuple):
    """One transform with what stands behind its colon: one text, or two."""

    name: str
    argument: str
    second: str = ""


class Address(NamedTuple):
    """An address, taken apart. `base` is the parameter, or the constant itself."""

    text: str
    base: str
    steps: tuple[Step, ...] = ()
    is_constant: bool = False
    is_negated: bool = False


def fold(name: str) -> str:
    """The form in which parameter names are compared: `Sub_ID`, `sub-id`, `subid` are one; `order[id]` is `order.id`."""
    return name.lower().replace("_", "").replace("-", "").replace("[]", "").replace("[", ".").replace("]", "")


@lru_cache(4096)  # every source has the defaults' addresses: without this, compiling one costs 80 us more
def parse(text: str) -> Address:
    """Take an address apart. ValueError says what is wrong with it, for the person who wrote it."""
    bare = text.removeprefix(NEGATION)
    if not bare.strip() or len(bare) > LONGEST_ADDRESS:
        raise ValueError(f"an address has 1 to {LONGEST_ADDRESS} characters; leave the field out to keep its defaults")
    if bare != bare.strip():
        raise ValueError(f"{text!r} has blanks around it")
    if bare.startswith(CONSTANT):
        if bare == CONSTANT:
            raise ValueError("a constant needs a value after '=', for example '=USD'")
        return Address(text, bare[1:], is_constant=True, is_negated=bare != text)
    base, *steps = bare.split(STEP)
    if "" in fold(base).split("."):
        raise ValueError(f"{text!r} has an empty part; a path looks like order.customer.email or items.0.id")
    found = tuple(_step(step, text) for step in steps)
    if any(step.name == "named" for step in found[1:]):
        raise ValueError(f"{text!r}: named takes the list itself, so it comes first")
    return Address(text, base, found, is_negated=bare != text)


def _step(text: str, whole: str) -> Step:
    name, _, argument = text.partition(":")
    if name not in TRANSFORMS:
        near = get_close_matches(name, TRANSFORMS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(TRANSFORMS)}"
        raise ValueError(f"{whole!r}: there is no transform {name!r}; {hint}")
    try:
        return Step(name, *_ARGUMENTS.get(name, _one)(argument))
    except ValueError as error:
        raise ValueError(f"{whole!r}: {name} is written {TRANSFORMS[name].form}") from error


def _one(argument: str) -> tuple[str, ...]:
    if not argument:
        raise ValueError(argument)
    return (argument,)


def _separator_and_number(argument: str) -> tuple[str, ...]:
    separator, _, number = argument.rpartition(":")
    return *_one(separator), str(int(number))


def _value_and_result(argument: str) -> tuple[str, ...]:
    value, _, result = argument.partition("=")
    return *_one(value), *_one(result)


_ARGUMENTS: dict[str, Callable[[str], tuple[str, ...]]] = {"split": _separator_and_number, "when": _value_and_result}
