"""What describes the API and its words: the OpenAPI document, the reasons, the lists."""

from typing import Any

from console.lists import LISTS, columns_of
from console.server.openapi import document
from console.server.route import TABLE, Ask, Route
from schemas.reasons import REASONS, STATUSES, SUB_REASONS


async def words(_: Ask) -> dict[str, Any]:
    """Return every status, reason and sub-reason with its texts."""
    return {
        "statuses": [status._asdict() for status in STATUSES],
        "reasons": [reason._asdict() for reason in REASONS],
        "sub_reasons": [sub._asdict() for sub in SUB_REASONS],
    }


async def lists(_: Ask) -> list[dict[str, Any]]:
    """Return every list with its filters and columns: what a page needs to draw its controls."""
    return [
        {
            "name": found.name,
            "title": found.title,
            "filters": [
                {"name": each.name, "kind": each.kind, "doc": each.doc, "words": each.shown_words} for each in found.filters
            ],
            "columns": [{"name": column.name, "type": column.type, "doc": column.comment} for column in columns_of(found, is_whole=False)],
        }
        for found in LISTS
    ]  # fmt: skip


async def openapi(ask: Ask) -> dict[str, Any]:
    """Return the document of this very table."""
    return document(ask.request.app[TABLE])


ROUTES = (
    Route("GET", "/api/v1/openapi.json", openapi, None, "This document"),
    Route("GET", "/api/v1/words", words, "read_log", "Every status and reason with its words"),
    Route("GET", "/api/v1/lists", lists, "read_log", "Every list with its filters and columns"),
)
