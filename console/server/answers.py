"""What the console answers when it refuses: every code with its status, words and remedy in one table, and the JSON of all answers."""

from typing import Any, NamedTuple

from aiohttp import web

from console import json_text


class Words(NamedTuple):
    """One kind of refusal. The request's own words are added by whoever refuses."""

    status: int
    message: str
    remedy: str


REFUSALS = {
    "bad_request": Words(400, "The request is not what this route takes.", "See /api/v1/openapi.json."),
    "bad_parameter": Words(400, "A parameter is wrong.", "See /api/v1/openapi.json."),
    "bad_body": Words(400, "The body is not what this route takes.", "See /api/v1/openapi.json."),
    "query_refused": Words(400, "ClickHouse refused the question.", "Its own words say why."),
    "not_read_only": Words(400, "Only questions are answered here.", "Begin with SELECT, WITH, EXPLAIN, SHOW or DESCRIBE."),
    "unauthorized": Words(401, "Who is asking?", "Send `Authorization: Bearer <token>`, or log in; `clicktrail tokens create` makes a token."),
    "unknown_token": Words(401, "This token is nobody's, or was revoked.", "Make another one: `clicktrail tokens create USER NAME`."),
    "forbidden": Words(403, "Your role may not do this.", "An owner can give you another one: `clicktrail users add ID --role …`."),
    "foreign_page": Words(403, "The request comes from a page of another site.", "Open the console itself."),
    "foreign_host": Words(403, "The console does not go by this name.", "Use the address that it prints, or set CLICKTRAIL_CONSOLE__PUBLIC_URL."),
    "no_csrf_token": Words(403, "The page's token is missing or old.", "Reload the page and try again."),
    "other_account": Words(403, "This covers all accounts, and yours are limited to some.", "Ask somebody whose user has no accounts listed."),
    "not_found": Words(404, "There is nothing with this id.", "Look for it in the list."),
    "unknown_route": Words(404, "There is nothing at this path.", "See /api/v1/openapi.json."),
    "method_not_allowed": Words(405, "This path does not take this method.", "The Allow header names the methods."),
    "changed_meanwhile": Words(409, "Somebody changed it meanwhile.", "Load it again, then make your change anew."),
    "in_use": Words(409, "Something else refers to it.", "Change that first."),
    "precondition_failed": Words(412, "It is not the version that If-Match names any more.", "Load it again, then make your change anew."),
    "too_large": Words(413, "The body is larger than this route takes.", "Send less."),
    "invalid": Words(422, "It is not valid.", "Mend what is named, then send it again."),
    "too_much": Words(422, "The question needs more than it may take.", "Ask for a shorter time range, or for fewer rows."),
    "rate_limited": Words(429, "Too many requests.", "Wait as long as Retry-After says."),
    "broken": Words(500, "This is a fault of ours.", "The console's log has the details."),
    "unavailable": Words(503, "A service does not answer.", "See /health."),
}  # fmt: skip


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """Ends a request with one of REFUSALS; `message` and `remedy` replace the table's where they can say more."""

    def __init__(self, code: str, message: str = "", remedy: str = "", **headers: str) -> None:
        super().__init__(code)
        words = REFUSALS[code]
        self.code, self.status = code, words.status
        self.message, self.remedy = message or words.message, remedy or words.remedy
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> dict[str, Any]:
        """Return the answer as it stands in JSON."""
        return {"error": {"code": self.code, "message": self.message, "remedy": self.remedy}}


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=json_text.dump(value), status=status, headers=headers, content_type="application/json")
