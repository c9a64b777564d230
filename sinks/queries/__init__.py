"""The SQL cookbook: one question per file, its first line says which. Every file is run in a test, the console and the docs list them.

A recipe may have parameters in ClickHouse's own form, {name:Type}: they are bound by the server, never pasted.
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Recipe(NamedTuple):
    """A question, its SQL, and the parameters that it takes as name -> type."""

    name: str
    title: str
    sql: str
    parameters: dict[str, str]


def recipes() -> list[Recipe]:
    """Return all recipes by name."""
    return [_recipe(path) for path in sorted(FOLDER.glob("*.sql"))]


def _recipe(path: Path) -> Recipe:
    sql = path.read_text(encoding="utf-8")
    title = sql.partition("\n")[0].removeprefix("-- ")
    return Recipe(path.stem, title, sql, dict(re.findall(r"\{(\w+):(\w+)\}", sql)))
