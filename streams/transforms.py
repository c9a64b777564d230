"""Transforms at work: an address and the names of a payload become functions that get the value.

Compiled once per shape of payload (shapes.py), so a payload pays for the transforms that its own names have, and a source that uses none
pays nothing. Every function here takes whatever a sender wrote and answers with text or None; none raises.
"""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter

from schemas.addresses import Address, Step, fold
from streams.payload import read_form

Get = Callable[[Mapping[str, str]], str | None]
"""A payload's parameters -> the value, or None."""

Change = Callable[[str], str | None]

_LISTED = re.compile(r"\.\d+\.(?:name|key)$")


def getters(address: Address, folded: Mapping[str, list[str]]) -> list[Get]:
    """How to get the values of an address out of payloads with these names (folded name -> names as sent), in their order."""
    steps = address.steps
    if steps and steps[0].name == "named":
        pairs = _pairs(fold(address.base), folded)
        return [_chained(_named(pairs, fold(steps[0].argument)), steps[1:])] if pairs else []
    names = sorted(folded.get(fold(address.base), ()), key=lambda name: name != address.base)
    return [_chained(itemgetter(name), steps) for name in names]


def _pairs(base: str, folded: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """(parameter with an entry's name, parameter with its value) of a list of objects."""
    found = []
    for path, names in folded.items():
        if path.startswith(f"{base}.") and _LISTED.fullmatch(path, len(base)):
            values = folded.get(f"{path.rpartition('.')[0]}.value")
            if values:
                found.append((names[0], values[0]))
    return found


def _named(pairs: list[tuple[str, str]], wanted: str) -> Get:
    def get(parameters: Mapping[str, str]) -> str | None:
        return next((parameters[value] for name, value in pairs if fold(parameters[name]) == wanted and parameters[value]), None)

    return get


def _chained(first: Get, steps: tuple[Step, ...]) -> Get:
    if not steps:
        return first
    changes = [_CHANGES[step.name](step) for step in steps]

    def get(parameters: Mapping[str, str]) -> str | None:
        value = first(parameters)
        for change in changes:
            if not value:
                return None
            value = change(value)
        return value

    return get


def _query(step: Step) -> Change:
    wanted = fold(step.argument)

    def change(text: str) -> str | None:
        found = read_form(text.partition("?")[2].partition("#")[0])
        return next((value for name, value in found.items() if value and fold(name) == wanted), None)

    return change


def _split(step: Step) -> Change:
    separator, number = step.argument, int(step.second)

    def change(text: str) -> str | None:
        parts = text.split(separator)
        return parts[number].strip() if -len(parts) <= number < len(parts) else None

    return change


def _starts(step: Step) -> Change:
    return lambda text: text if text.strip().startswith(step.argument) else None


def _when(step: Step) -> Change:
    wanted = step.argument.strip().casefold()
    return lambda text: step.second if text.strip().casefold() == wanted else None


_CHANGES: dict[str, Callable[[Step], Change]] = {"query": _query, "split": _split, "starts": _starts, "when": _when}
