"""Postback requests: what must be reported of a recorded conversion, made in the transaction that records it.

One per (conversion, destination, revision): a conversion is an identity, so a heal asks once, and a conversion that moves to another
click (an earlier payload of its identity healed, or a better click came late) asks for a restatement, linked to the first request.
The delivery role turns a request into HTTP; what it needs is in here, its template is the destination's of this settings version.
"""

from typing import Any, cast

import orjson

from schemas.entities import Destination, TrafficSource
from schemas.event import Event
from streams.dedup import Entry, referral_of
from streams.partition import partition_of
from streams.stage import Outputs
from streams.topology import POSTBACKS
from streams.workspace import Workspace

CONVERSION, RESTATEMENT = "conversion", "restatement"
MOST_VERSIONS = 100  # settings versions whose destinations are kept at hand


class Postbacks:
    """Makes the requests."""

    def __init__(self, workspace: Workspace, partitions: int) -> None:
        """`partitions` of postbacks.v1."""
        self._workspace = workspace
        self._partitions = partitions
        self._destinations: dict[int, list[Destination]] = {}  # by settings version: 36 of 100 payloads ask

    def request(self, event: Event, finding: dict[str, Any], entry: Entry, superseded: list[Entry], out: Outputs) -> None:
        """Send one request per destination that wants this conversion. Tests are never reported.

        `superseded`: the entries of its home that are not recorded (any more). One that is recorded is another conversion, even of the
        same identity: it lies in another dedup window.
        """
        if event["is_test"]:
            return
        for destination in self._of_version(event["settings_version"]):
            if _wants(destination, event, finding) and self._may_hear(destination, event, finding):
                request = _request(event, finding, entry["r"], destination, _reported_before(entry, superseded, destination.id))
                key = finding["click_id"].encode()
                out.send(POSTBACKS.name, partition_of(key, self._partitions), key, orjson.dumps(request))

    def _may_hear(self, destination: Destination, event: Event, finding: dict[str, Any]) -> bool:
        """Whether the click's traffic source lets this destination know; one that names none lets all."""
        traffic_source = finding.get("traffic_source_id")
        if traffic_source is None:
            return True
        found = cast("TrafficSource | None", self._workspace.get("traffic_source", traffic_source, event["settings_version"]))
        return found is None or not found.destination_ids or destination.id in found.destination_ids

    def _of_version(self, version: int) -> list[Destination]:
        found = self._destinations.get(version)
        if found is None:
            everything = cast("dict[str, Destination]", self._workspace.all("destination", version))
            if len(self._destinations) > MOST_VERSIONS:
                self._destinations.clear()
            found = self._destinations[version] = [destination for destination in everything.values() if destination.is_enabled]
        return found


def _request(event: Event, finding: dict[str, Any], revision: int, destination: Destination, restated: str | None) -> dict[str, Any]:
    names = destination.conversion_names
    return {
        "postback_id": f"{event['event_id']}.{destination.id}.{revision}",
        "kind": RESTATEMENT if restated else CONVERSION,
        "restates_event_id": restated,
        "event_id": event["event_id"],
        "revision": revision,
        "destination_id": destination.id,
        "integration_id": destination.integration_id,
        "click_id": finding["click_id"],
        "ct": event["conversion_name"] if names is None else names[cast("str", event["conversion_name"])],
        "conversion_name": event["conversion_name"],
        "value": event["value"],
        "currency": event["currency"],
        "transaction_id": event["transaction_id"],
        "campaign_id": finding.get("campaign_id"),
        "traffic_source_id": finding.get("traffic_source_id"),
        "account_id": event["account_id"],
        "property_id": event["property_id"],
        "event_ms": event["event_ms"],
        "settings_version": event["settings_version"],
    }


def _wants(destination: Destination, event: Event, finding: dict[str, Any]) -> bool:
    """Whether a destination takes conversions of this name, property and traffic source."""
    return (
        destination.account_id == event["account_id"]
        and (destination.conversion_names is None or event["conversion_name"] in destination.conversion_names)
        and (not destination.property_ids or event["property_id"] in destination.property_ids)
        and (not destination.traffic_source_ids or finding.get("traffic_source_id") in destination.traffic_source_ids)
    )


def _reported_before(entry: Entry, superseded: list[Entry], destination_id: str) -> str | None:
    """The event under which this destination was told of the conversion: itself with another click, or a later payload of its identity.

    What was told is handed over, for it can be restated once only: another conversion of the identity, in another window, is a new one.
    """
    told = entry.setdefault("p", [])
    if destination_id in told:
        return str(entry["id"])
    told.append(destination_id)
    for other in superseded:
        if _is_same(other, entry) and destination_id in other.get("p", ()):
            other["p"].remove(destination_id)
            return str(other["id"])
    return None


def _is_same(other: Entry, entry: Entry) -> bool:
    """Whether an entry that is recorded no more was the same conversion, or the one referral of the same customer."""
    return bool(other["i"] == entry["i"] or ("h" in other and "h" in entry and referral_of(other) == referral_of(entry)))
