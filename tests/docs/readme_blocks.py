"""The generated blocks of README.md: `python -m tests.docs.readme_blocks` writes them, a test checks that they are current."""

import json
import re
from pathlib import Path

from streams.topology import mermaid

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def topology() -> str:
    return f"```mermaid\n{mermaid()}\n```"


def results() -> str:
    """One line per committed figure; each names its command."""
    lines = ["| what | measured | load beside it | date | command |", "|---|---|---|---|---|"]
    for path in sorted((ROOT / "bench" / "results").glob("*.json")):
        lines += [
            "| {what} | {measured} | {load} | {date} | `{command}` |".format(**line)
            for line in json.loads(path.read_text()).get("readme", [])
        ]
    return "\n".join(lines)


BLOCKS = {"topology": topology, "results": results}


def filled(text: str) -> str:
    for name, make in BLOCKS.items():
        text = re.sub(
            rf"(<!-- generated: {name} -->\n).*?(<!-- /generated -->)",
            lambda m, make=make: m[1] + make() + "\n" + m[2],
            text,
            flags=re.DOTALL,
        )
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
