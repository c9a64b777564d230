"""Macros of outgoing addresses: `{click_id}`, `#S1#`, `--CLICK-ID--` and the other spellings of the trade, filled in.

Networks and traffic sources each have their own way to write a macro (3-trade, section 3), and people paste what their network's page shows,
so all of them are understood, and a name is compared folded: click_id, clickId and CLICK-ID are one. A name in braces is always a macro:
one that nobody knows becomes nothing, because `{payout}` sent literally is a wrong value in somebody's statistics. In the other spellings
only a name that we know is one: `#top#` and `%20` are parts of addresses. `macros.py` is the other direction: macros that came back.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from schemas.outgoing import MACRO, fold

CLICK_ID = ("clickid", "cid", "subid")  # folded names that all mean our click id


def values(known: Mapping[str, str], passed: Mapping[str, str]) -> dict[str, str]:
    """Return the values by folded name: what we know goes before what was passed; `{var:name}` is always what was passed."""
    others = {fold(name): value for name, value in passed.items()}
    return others | {f"var:{name}": value for name, value in others.items()} | {fold(name): value for name, value in known.items()}


def filled(url: str, found: Mapping[str, str], slot: str) -> str:
    """Return the address with its macros filled in, each value percent-encoded; without a click id macro it gets `slot=<click id>`."""
    has_click_id = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal has_click_id
        name = fold(match[match.lastgroup or 0])
        if name not in found:
            return "" if match.lastgroup == "a" else match[0]
        has_click_id = has_click_id or name in CLICK_ID
        return quote(found[name], safe="")

    url = MACRO.sub(value_of, url)
    if has_click_id:
        return url
    page, hash_, fragment = url.partition("#")
    joiner = "" if page.endswith(("?", "&")) else "&" if "?" in page else "?"
    return f"{page}{joiner}{quote(slot, safe='')}={quote(found['clickid'], safe='')}{hash_}{fragment}"
