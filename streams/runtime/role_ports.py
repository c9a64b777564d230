"""Which port a role's health pages have: metrics_port + its place in this list. Apart from `health`, so that asking loads no HTTP server."""

from streams.runtime.settings import Settings

ROLES = ("ingest", "ledger", "attribution", "sink", "delivery", "console")


def port_of(settings: Settings, role: str) -> int:
    """Return the port of a role's health pages."""
    return settings.metrics_port + ROLES.index(role)
