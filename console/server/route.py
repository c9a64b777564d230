"""What a line of the route table says, and what its handler is given.

A route is data: method, path, who may, which parameters it takes, what its body and its answer look like, and the function that answers. From
the same line come the check of the parameters, the permission, the OpenAPI document and the tests of all three.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiohttp import web
from pydantic import BaseModel

from console.filters import Filters
from console.listing import Given
from console.lists import Listed
from console.server.viewer import Viewer
from schemas.permissions import Action

if TYPE_CHECKING:  # it holds what makes the routes' answers, and they are made from routes
    from console.server.context import Context


FLAGS = ("", "0", "1", "true", "false", "yes", "no")
LONGEST_TEXT = 500  # of a parameter that is no filter


class Parameter(NamedTuple):
    """One query parameter. `kind` int has bounds, `words` is the closed set of a text; `many`: repeated or by commas."""

    name: str
    doc: str
    kind: Literal["text", "int", "flag"] = "text"
    words: tuple[str, ...] = ()
    default: str = ""
    least: int = 0
    most: int = 0
    many: bool = False
    is_needed: bool = False
    aliases: tuple[str, ...] = ()
    longest: int = LONGEST_TEXT


Handler = Callable[["Ask"], Awaitable[Any]]
TABLE: web.AppKey[Iterable["Route"]] = web.AppKey("table", Iterable)  # of the routes that are served


@dataclass(frozen=True)
class Route:
    """One line. The handler returns what becomes JSON, or a response. `may` None: anybody, logged in or not.

    `found` is the list whose filters the route takes; `answer` a model, or a JSON Schema where the shape is data itself.
    """

    method: str
    path: str
    handler: Handler
    may: Action | None
    doc: str
    parameters: tuple[Parameter, ...] = ()
    found: Listed | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | dict[str, Any] | None = None
    produces: tuple[str, ...] = ("application/json",)
    refusals: tuple[str, ...] = ()
    kind: Literal["api", "page"] = "api"

    @property
    def filters(self) -> Filters:
        """Return the filters that the route takes."""
        return self.found.filters if self.found else ()


@dataclass(slots=True)
class Ask:
    """One request, understood: who asks, and what for."""

    request: web.Request
    route: Route
    context: "Context"
    viewer: Viewer
    path: dict[str, str]
    given: dict[str, list[str]] = field(default_factory=dict)
    body: Any = None

    def text(self, name: str) -> str:
        """Return a text parameter, or its default."""
        return self.given.get(name, [""])[-1]

    def number(self, name: str) -> int:
        """Return a checked whole number."""
        return int(self.text(name))

    def flag(self, name: str) -> bool:
        """Return whether a flag is set."""
        return self.text(name) in {"1", "true", "yes"}

    def filters(self) -> Given:
        """Return what is given of the filters of the route's list."""
        return {found.name: self.given.get(found.name, []) for found in self.route.filters}
