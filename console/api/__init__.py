"""The API: the table of its routes. START HERE. Every route goes through `console/server/door.py`, which checks what the table says of it."""

from console.api import documents, events, lists, session
from console.server.route import Route

ROUTES: tuple[Route, ...] = (*session.ROUTES, *lists.ROUTES, *events.ROUTES, *documents.ROUTES)
