"""The API: the table of its routes. START HERE. Every route goes through `console/server/door.py`, which checks what the table says of it."""

from console.api import charts, clicks, documents, events, health, lists, live, rules, sending, session, settings, sql
from console.server.route import Route

ROUTES: tuple[Route, ...] = (
    *session.ROUTES,
    *lists.ROUTES,
    *events.ROUTES,
    *sending.ROUTES,
    *clicks.ROUTES,
    *settings.ROUTES,
    *rules.ROUTES,
    *charts.ROUTES,
    *health.ROUTES,
    *live.ROUTES,
    *sql.ROUTES,
    *documents.ROUTES,
)
