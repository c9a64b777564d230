"""The home of a payload that has no business id: its bytes, and its query where it has one."""

from schemas.event import CONTENT_TYPE, METHOD, QUERY, SETTINGS_VERSION, SOURCE
from streams.parse import Parser, home
from streams.stage import Record
from streams.workspace import Workspace


def event_of(value, query):
    workspace = Workspace()
    workspace.apply(0, "property", "p", {"id": "p", "name": "P"})
    workspace.apply(1, "source", "s", {"id": "s", "name": "S", "kind": "postback", "property_id": "p"})
    headers = [(SOURCE, b"s"), (SETTINGS_VERSION, b"1"), (CONTENT_TYPE, b""), (METHOD, b"POST"), (QUERY, query)]
    return Parser(workspace, b"k", 1).parse(Record("t", 0, 0, 1_790_000_000_000, None, value, headers))


def test_posts_without_a_body_are_told_apart_by_their_query():
    """Rule 5: two people's conversions, each an empty POST with a query of its own, are not one payload."""
    one, other, again = event_of(b"", b"email=a@x.com"), event_of(b"", b"email=b@x.com"), event_of(b"", b"email=a@x.com")
    assert home(one) != home(other)
    assert home(one) == home(again)
    assert one["payload_sha256"] == other["payload_sha256"]  # that one is of the bytes
