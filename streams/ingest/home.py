"""The home of a payload: the record key under which everything that may touch its identity meets (schemas/identity.py)."""

from hashlib import sha256

from schemas.identity import home_of
from streams.workspace import SourceRules


def home(rules: SourceRules, value: bytes, headers: list[tuple[str, bytes]]) -> bytes:  # noqa: ARG001 - until the parser is here
    """Return the routing key of a payload. One that nobody can read lives under its hash."""
    return home_of(rules.account_id, rules.property_id, None, None, None, sha256(value).hexdigest()).encode()
