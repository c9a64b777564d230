"""What changed between two values of an entity, as a list that a person reads and a machine filters.

The same list stands in the activity row and in `apply --dry-run`, so what was announced is what is recorded. Secrets are compared but
never shown: an audit log is read by more people than the settings.
"""

import re
from collections.abc import Iterator
from typing import Any

from typing_extensions import TypedDict

# The names of fields whose values nobody should read in a log. `token_id` and the like are names, not secrets.
SECRET_NAME = re.compile(r"(?i)(^|_)(secret|secrets|password|token|tokens|api_key|private_key|passphrase|sha256)$")
SECRET_MAPS = frozenset(["headers"])  # names are shown, all values are secret: one of them is an Authorization
# A secret in an address or a body: postback templates have the partner's key in their query. A macro in its place is none.
SECRET_PARAMETER = re.compile(r"(?i)([?&](?:[\w.-]*[_.-])?(?:secret|password|token|api_?key|key|passphrase|signature|auth)=)(?!\{)[^&#\s]+")
HIDDEN = "***"


class Difference(TypedDict):
    """One field: `path` with dots and [n]; None stands for absent."""

    path: str
    before: Any
    after: Any


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[Difference]:
    """Return the fields that differ, in the order of the values' own fields; secrets show as ***."""
    return list(_walk("", before or {}, after or {}))


def hide_secrets(value: Any) -> Any:
    """Return a copy in which every secret is ***."""
    if isinstance(value, dict):
        return {name: _hidden(inner) if _is_secret(name) else _shown(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [hide_secrets(inner) for inner in value]
    return SECRET_PARAMETER.sub(rf"\1{HIDDEN}", value) if isinstance(value, str) else value


def _shown(name: str, value: Any) -> Any:
    is_map = name in SECRET_MAPS and isinstance(value, dict)
    return {inner: _hidden(secret) for inner, secret in value.items()} if is_map else hide_secrets(value)


def _hidden(value: Any) -> Any:
    """Whether there is a secret is no secret."""
    return HIDDEN if value else value


def _is_secret(name: str) -> bool:
    return bool(SECRET_NAME.search(name))


def _walk(path: str, before: Any, after: Any, *, is_secret: bool = False) -> Iterator[Difference]:
    """Go down where both sides are dictionaries; lists are compared whole unless they have the same length."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{path}.{name}" if path else name
            if is_secret or _is_secret(name):
                if before.get(name) != after.get(name):
                    yield {"path": inner, "before": HIDDEN if before.get(name) else None, "after": HIDDEN if after.get(name) else None}
            elif name in SECRET_MAPS:
                yield from _walk(inner, before.get(name) or {}, after.get(name) or {}, is_secret=True)
            else:
                yield from _walk(inner, before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from _walk(f"{path}[{index}]", left, right)
    else:
        yield {"path": path, "before": hide_secrets(before), "after": hide_secrets(after)}
