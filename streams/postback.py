"""Postback requests: what must be reported of a conversion, made in the transaction that records it.

One per (conversion, destination, revision). A conversion is an identity, so a heal asks once; what changes later is a linked request of its
own kind, and only for who was told:

    conversion    a conversion was recorded
    restatement   it moved to another click or an earlier payload, its value changed, or a part of it was refunded
    retraction    it was refunded, reversed or charged back, or turned out to be none

The delivery role turns a request into HTTP (`streams/delivery/`); everything that a destination may want to know is in here, its template is
the destination's. All requests about one home lie on its partition, in order, so that none overtakes the one that it corrects. E-mail and
phone are in here only as the hashes that the destination's platform takes.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

import orjson

from schemas.destinations import Destination
from schemas.entities import Campaign, TrafficSource
from schemas.event import Event
from schemas.mapping import FIELDS
from streams.dedup import Entry, referral_of
from streams.destination_hashes import FORMS, Platform, hashed
from streams.fields import subject
from streams.identifiers import EMAIL, PHONE
from streams.stage import Outputs
from streams.topology import POSTBACKS
from streams.workspace import SourceRules, Workspace

CONVERSION, RESTATEMENT, RETRACTION = "conversion", "restatement", "retraction"
MOST_VERSIONS = 100  # settings versions whose destinations are kept at hand
MOST_PARAMETERS, LONGEST_PARAMETER = 100, 500
_EMAIL, _PHONE, _EXTERNAL = (FIELDS.index(name) for name in ("email", "phone", "external_id"))

Told = dict[str, str]
"""Destination -> postback id of what it was told last: `p` of an entry."""


class Postbacks:
    """Makes the requests."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._destinations: dict[int, list[Destination]] = {}  # by settings version: 36 of 100 payloads ask

    def request(self, event: Event, body: bytes, finding: dict[str, Any], entry: Entry, superseded: list[Entry], out: Outputs) -> None:
        """Send one request per destination that wants this conversion. Tests are never reported.

        `superseded`: the entries of its home that are not recorded (any more). One that is recorded is another conversion, even of the
        same identity: it lies in another dedup window.
        """
        if event["is_test"]:
            return
        passed: dict[str, str] | None = None
        source = traffic_source_of(self._workspace, finding, event["settings_version"])
        for destination in self._of_version(event["settings_version"]):
            if _wants(destination, event, finding, source) and _may_hear(destination, source):
                if passed is None:
                    passed = orjson.loads(b"{" + body)["parameters"]
                earlier = _reported_before(entry, superseded, destination.id)
                request = _request(event, finding, entry["r"], destination, earlier)
                request |= self._known_of(event, finding, destination, source, passed)
                entry["p"][destination.id] = request["postback_id"]
                send(event, request, out)

    def correct(self, event: Event, parent: Entry, entry: Entry, value: str | None, out: Outputs) -> None:
        """Tell everybody who was told of a conversion what is left of it: a value, or None when it is taken back whole.

        `event` and `entry` are what takes it back, `parent` is the conversion; they are the same one when it turned out to be none.
        """
        told: Told = parent.get("p") or {}
        for destination_id, follows in list(told.items()):
            destination = cast("Destination | None", self._workspace.get("destination", destination_id, event["settings_version"]))
            if destination is not None:
                request = _correction(event, parent, entry, destination, follows, value)
                told[destination_id] = request["postback_id"]
                send(event, request, out)
        if parent is entry:
            parent.pop("p", None)

    def _known_of(
        self, event: Event, finding: dict[str, Any], destination: Destination, source: TrafficSource | None, passed: dict[str, str]
    ) -> dict[str, Any]:
        """What else a template or a platform may want: the click's details, the parameters, hashes of the person."""
        rules = self._workspace.source(event["source_id"], event["settings_version"])
        click = finding.get("click") or {}
        return {"click": click.get("d") or {}, "click_ms": click.get("t"), **told_of(rules, source, passed, destination)}

    def _of_version(self, version: int) -> list[Destination]:
        found = self._destinations.get(version)
        if found is None:
            everything = cast("dict[str, Destination]", self._workspace.all("destination", version))
            if len(self._destinations) > MOST_VERSIONS:
                self._destinations.clear()
            found = self._destinations[version] = [destination for destination in everything.values() if destination.is_enabled]
        return found


def traffic_source_of(workspace: Workspace, finding: Mapping[str, Any], version: int) -> TrafficSource | None:
    """The traffic source of the click; where the click names none, that of its campaign."""
    name = finding.get("traffic_source_id")
    if name is None and finding.get("campaign_id") is not None:
        campaign = cast("Campaign | None", workspace.get("campaign", finding["campaign_id"], version))
        name = campaign.traffic_source_id if campaign is not None else None
    return None if name is None else cast("TrafficSource | None", workspace.get("traffic_source", name, version))


def told_of(rules: SourceRules | None, source: TrafficSource | None, passed: dict[str, str], destination: Destination) -> dict[str, Any]:
    """What of a payload's parameters a destination may get: `parameters` without e-mail and phone; `user`, their hashes, for a platform that
    takes them; `external_id_parameter`, the name that the traffic source gives its own click id.
    """
    found = subject(rules, passed)[-1] if rules is not None else (None,) * len(FIELDS)
    person = {EMAIL: found[_EMAIL], PHONE: found[_PHONE]}
    clear = {value for value in person.values() if value}
    parameters = {
        name: value
        for name, value in list(passed.items())[:MOST_PARAMETERS]
        if value not in clear and len(value) <= LONGEST_PARAMETER and not name.startswith("(")
    }
    known: dict[str, Any] = {"parameters": parameters}
    if destination.platform in FORMS:
        known["user"] = _hashes(cast("Platform", destination.platform), person, found[_EXTERNAL])
    if source is not None and source.click_id_parameter:
        known["external_id_parameter"] = source.click_id_parameter
    return known


def send(event: Event, request: dict[str, Any], out: Outputs) -> None:
    """Send a request to the partition of its event."""
    if "traceparent" in event:
        request["traceparent"] = event["traceparent"]
    out.send(POSTBACKS.name, event["partition"], event["event_id"].encode(), orjson.dumps(request))


def _request(
    event: Event, finding: dict[str, Any], revision: int, destination: Destination, earlier: tuple[str, str | None] | None
) -> dict[str, Any]:
    return {
        "postback_id": f"{event['event_id']}.{destination.id}.{revision}",
        "kind": RESTATEMENT if earlier else CONVERSION,
        "restates_event_id": earlier[0] if earlier else None,
        "follows": earlier[1] if earlier else None,
        "event_id": event["event_id"],
        "revision": revision,
        "destination_id": destination.id,
        "integration_id": destination.integration_id,
        "click_id": finding["click_id"],
        "ct": _ct(destination, event["conversion_name"]),
        "conversion_name": event["conversion_name"],
        "value": event["value"],
        "currency": event["currency"],
        "transaction_id": event["transaction_id"],
        "campaign_id": finding.get("campaign_id"),
        "traffic_source_id": finding.get("traffic_source_id"),
        "account_id": event["account_id"],
        "property_id": event["property_id"],
        "event_ms": event["event_ms"],
        "requested_ms": event.get("received_ms"),
        "settings_version": event["settings_version"],
    }


def _correction(event: Event, parent: Entry, entry: Entry, destination: Destination, follows: str, value: str | None) -> dict[str, Any]:
    told, click = parent["x"], (parent.get("a") or {}).get("click") or {}
    finding = {"click_id": told["click_id"] or click.get("id"), "campaign_id": click.get("c"), "traffic_source_id": click.get("s")}
    earlier = (parent["id"], follows)
    request = _request(event, finding, entry["r"], destination, earlier) | {
        "kind": RETRACTION if value is None else RESTATEMENT,
        "click_id": click.get("id") or told["click_id"],
        "ct": _ct(destination, parent["n"]),
        "conversion_name": parent["n"],
        "value": told["value"] if value is None else value,
        "currency": told["currency"],
        "event_ms": parent["t"],
        "click": click.get("d") or {},
        "click_ms": click.get("t"),
    }
    if parent is not entry:
        request["transaction_id"] = event["reference"] or event["transaction_id"]
    return request


def _ct(destination: Destination, name: str | None) -> str | None:
    """The destination's own event type for a conversion name."""
    names = destination.conversion_names
    return name if names is None else names.get(cast("str", name), name)


def _hashes(platform: Platform, person: dict[str, str | None], external: str | None) -> dict[str, str]:
    """Who it was, as the platform takes it."""
    found = {kind: hashed(platform, kind, value) for kind, value in person.items() if value}
    if external:
        found["external_id"] = sha256(external.strip().encode()).hexdigest()
    return {kind: value for kind, value in found.items() if value}


def _may_hear(destination: Destination, source: TrafficSource | None) -> bool:
    """Whether the click's traffic source lets this destination know; one that names none lets all."""
    return source is None or not source.destination_ids or destination.id in source.destination_ids


def _wants(destination: Destination, event: Event, finding: dict[str, Any], source: TrafficSource | None) -> bool:
    """Whether a destination takes conversions of this name, property and traffic source; the source may be the campaign's."""
    named = finding.get("traffic_source_id") or (source.id if source is not None else None)
    return (
        destination.account_id == event["account_id"]
        and (destination.conversion_names is None or event["conversion_name"] in destination.conversion_names)
        and (not destination.property_ids or event["property_id"] in destination.property_ids)
        and (not destination.traffic_source_ids or named in destination.traffic_source_ids)
    )


def _reported_before(entry: Entry, superseded: list[Entry], destination_id: str) -> tuple[str, str | None] | None:
    """(event, postback) under which this destination was told of the conversion: itself with another click, or a later payload of its identity.

    What was told is handed over, for it can be restated once only: another conversion of the identity, in another window, is a new one.
    """
    told: Told = entry.setdefault("p", {})
    if destination_id in told:
        return str(entry["id"]), told[destination_id]
    for other in superseded:
        if _is_same(other, entry) and destination_id in other.get("p", ()):
            return str(other["id"]), other["p"].pop(destination_id)
    return None


def _is_same(other: Entry, entry: Entry) -> bool:
    """Whether an entry that is recorded no more was the same conversion, or the one referral of the same customer."""
    return bool(other["i"] == entry["i"] or ("h" in other and "h" in entry and referral_of(other) == referral_of(entry)))
