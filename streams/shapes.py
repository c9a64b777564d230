"""Where a source's mapping finds our fields in a payload, worked out once per shape of payload.

A sender's payloads nearly always have the same parameter names in the same order. So the names are matched against the mapping once
(about 60 us: folding case, `_` and `-`, order of addresses), and the answer is kept under the tuple of names. After that, finding all
fields of a payload is one dict hit and one `itemgetter` over the values by position: 0.7 us instead of 14 loops over addresses.
"""

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import NamedTuple

from schemas.addresses import CONSTANT, Address, fold, parse
from schemas.mapping import FIELDS, Mapping
from streams.transforms import Get, getters

ABSENT = -1  # the position of a field that no parameter has: fields.py puts a None behind the values
SHAPE_LIMIT = 512  # shapes kept per source: a sender that makes up names must not fill the memory
NAMES_LIMIT = 32_768  # names in all of them; an order of Shopify's has 300, and matching those costs 150 us

CLICK_ID, EXTERNAL_ID, TEST, VALUE = (FIELDS.index(name) for name in ("click_id", "external_id", "test", "value"))
MOST_NAMED = 5


class Alternatives(NamedTuple):
    """A field with more than one parameter, with a transform, or with a constant to end on."""

    field: int
    others: tuple[Get, ...]
    constant: str | None


class Candidate(NamedTuple):
    """One place where a field's value can stand in payloads of a shape."""

    name: str | None  # the parameter, when the value is that as it is
    get: Get


class Shape(NamedTuple):
    """Where each field of FIELDS stands in payloads with these parameter names."""

    pick: Callable[[list[str | None]], tuple[str | None, ...]]  # values by position -> one per field
    alternatives: tuple[Alternatives, ...]
    clicks: tuple[Get, ...]
    click_param: str  # as "No click id value passed" quotes it: the parameter of the payload, else the first of the mapping
    externals: tuple[Get, ...]
    tests: tuple[tuple[Get, bool], ...]  # (flag, the value that means test)
    inside_value: str | None  # why the amount is not where the mapping looks: there is an object


class Lookup:
    """The addresses of one mapping, compiled."""

    __slots__ = ("_addresses", "_names", "_shapes")

    def __init__(self, mapping: Mapping) -> None:
        self._addresses = tuple(tuple(map(parse, mapping.addresses(field))) for field in FIELDS)
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._names = 0

    def shape(self, parameters: dict[str, str]) -> Shape:
        """The shape of a payload with these parameters."""
        names = tuple(parameters)
        try:
            return self._shapes[names]
        except KeyError:
            found = self._match(names)
        self._names += len(names)
        if len(self._shapes) >= SHAPE_LIMIT or self._names > NAMES_LIMIT:
            self._shapes.clear()
            self._names = len(names)
        self._shapes[names] = found
        return found

    def _match(self, names: tuple[str, ...]) -> Shape:
        folded: dict[str, list[str]] = {}
        for name in names:
            folded.setdefault(fold(name), []).append(name)
        fields = [_candidates(addresses, folded) for addresses in self._addresses]
        clicks = fields[CLICK_ID]
        first_click = next((found.name for found in clicks if found.name is not None), None)
        position = {name: at for at, name in enumerate(names)}
        return Shape(
            pick=itemgetter(*(position[found[0].name] if found and found[0].name is not None else ABSENT for found in fields)),
            alternatives=tuple(_alternatives(fields, self._addresses)),
            clicks=tuple(found.get for found in clicks),
            click_param=first_click or self._addresses[CLICK_ID][0].text.removeprefix(CONSTANT),
            externals=tuple(found.get for found in fields[EXTERNAL_ID]),
            tests=tuple((get, not address.is_negated) for address in self._addresses[TEST] for get in getters(address, folded)),
            inside_value=_inside(self._addresses[VALUE], names),
        )


def _candidates(addresses: tuple[Address, ...], folded: dict[str, list[str]]) -> list[Candidate]:
    """Where these addresses find a value, in order; the spelling of the mapping goes before its look-alikes."""
    found: dict[object, Candidate] = {}
    for address in addresses:
        if address.is_constant or address.is_negated:
            continue
        if address.steps:
            for get in getters(address, folded):
                found[get] = Candidate(None, get)
        else:
            for name in sorted(folded.get(fold(address.base), ()), key=lambda name, address=address: name != address.base):
                found.setdefault(name, Candidate(name, itemgetter(name)))
    return list(found.values())


def _inside(addresses: tuple[Address, ...], names: tuple[str, ...]) -> str | None:
    """Say that an address names an object, with what is in it: `{"amount": {"value": 5}}` is no amount until the mapping says amount.value."""
    for address in addresses:
        below = [name for name in names if fold(name).startswith(f"{fold(address.base)}.")]
        if below and not address.is_constant:
            return f"{address.base} is an object; the mapping must name one of {', '.join(below[:MOST_NAMED])}"
    return None


def _alternatives(fields: list[list[Candidate]], addresses: tuple[tuple[Address, ...], ...]) -> Iterator[Alternatives]:
    """The fields that are not done with one parameter."""
    for i, found in enumerate(fields):
        constant = next((address.base for address in addresses[i] if address.is_constant), None)
        others = found if found and found[0].name is None else found[1:]
        if i != TEST and (others or constant is not None):
            yield Alternatives(i, tuple(other.get for other in others), constant)
