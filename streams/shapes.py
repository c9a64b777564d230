"""Where a source's mapping finds our fields in a payload, worked out once per shape of payload.

A sender's payloads nearly always have the same parameter names in the same order. So the names are matched against the mapping once
(about 60 us: folding case, `_` and `-`, order of addresses), and the answer is kept under the tuple of names. After that, finding all
fields of a payload is one dict hit and one `itemgetter` over the values by position: 0.7 us instead of 14 loops over addresses.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

from schemas.mapping import CONSTANT, FIELDS, NEGATION, Mapping, fold

ABSENT = -1  # the position of a field that no parameter has: fields.py puts a None behind the values
SHAPE_LIMIT = 512  # shapes kept per source: a sender that makes up names must not fill the memory
WIDEST_SHAPE = 64  # payloads with more names than this are matched each time

CLICK_ID, EXTERNAL_ID, TEST = FIELDS.index("click_id"), FIELDS.index("external_id"), FIELDS.index("test")


class Alternatives(NamedTuple):
    """A field with more than one parameter, or with a constant to end on."""

    field: int
    names: tuple[str, ...]
    constant: str | None


class Shape(NamedTuple):
    """Where each field of FIELDS stands in payloads with these parameter names."""

    pick: Callable[[list[str | None]], tuple[str | None, ...]]  # values by position -> one per field
    alternatives: tuple[Alternatives, ...]
    click_names: tuple[str, ...]
    click_param: str  # as "No click id value passed" quotes it: the parameter of the payload, else the first of the mapping
    external_names: tuple[str, ...]
    tests: tuple[tuple[str, bool], ...]  # (parameter, the value that means test)


class Lookup:
    """The addresses of one mapping, compiled."""

    __slots__ = ("_addresses", "_shapes")

    def __init__(self, mapping: Mapping) -> None:
        self._addresses = tuple(mapping.addresses(field) for field in FIELDS)
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def shape(self, parameters: dict[str, str]) -> Shape:
        """The shape of a payload with these parameters."""
        names = tuple(parameters)
        try:
            return self._shapes[names]
        except KeyError:
            found = self._match(names)
        if len(names) <= WIDEST_SHAPE:
            if len(self._shapes) >= SHAPE_LIMIT:
                self._shapes.clear()
            self._shapes[names] = found
        return found

    def _match(self, names: tuple[str, ...]) -> Shape:
        folded: dict[str, list[str]] = {}
        for name in names:
            folded.setdefault(fold(name), []).append(name)
        fields = [_candidates(addresses, folded) for addresses in self._addresses]
        constants = [next((a[1:] for a in addresses if a.startswith(CONSTANT)), None) for addresses in self._addresses]
        clicks = fields[CLICK_ID]
        return Shape(
            pick=itemgetter(*(names.index(found[0]) if found else ABSENT for found in fields)),
            alternatives=tuple(
                Alternatives(i, tuple(fields[i][1:]), constants[i])
                for i in range(len(FIELDS))
                if i != TEST and (len(fields[i]) > 1 or constants[i] is not None)
            ),
            click_names=tuple(clicks),
            click_param=clicks[0] if clicks else self._addresses[CLICK_ID][0].removeprefix(CONSTANT),
            external_names=tuple(fields[EXTERNAL_ID]),
            tests=_tests(self._addresses[TEST], folded),
        )


def _candidates(addresses: tuple[str, ...], folded: dict[str, list[str]]) -> list[str]:
    """The parameters that these addresses name, in order; the spelling of the mapping goes before its look-alikes."""
    found: list[str] = []
    for address in addresses:
        if address[0] not in (CONSTANT, NEGATION):
            found += sorted(folded.get(fold(address), ()), key=lambda name: name != address)
    return list(dict.fromkeys(found))


def _tests(addresses: tuple[str, ...], folded: dict[str, list[str]]) -> tuple[tuple[str, bool], ...]:
    """The flags that mark a test: `!livemode` counts when it is false."""
    return tuple(
        (name, not address.startswith(NEGATION)) for address in addresses for name in folded.get(fold(address.removeprefix(NEGATION)), ())
    )
