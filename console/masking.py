"""What anybody may see of a row: names, addresses, phones and IPs masked, everything else as it is.

Masking is a way of showing (`schemas/pii.py` says what is masked and why); whoever may see it in clear asks for it, and the activity log
says so. What cannot be masked in part, the bytes of a payload and what was sent to a destination, is left out whole.
"""

from typing import Any

from schemas import pii

TEXTS = ("message", "postback_url", "error_message", "url", "referrer")
IPS = ("ip",)
WITHHELD = ("payload", "request", "response", "value_bytes")


def row(found: dict[str, Any]) -> dict[str, Any]:
    """Return a row of any list as everybody may see it."""
    masked = dict(found)
    for name, value in found.items():
        if name in WITHHELD and value is not None:
            masked[name] = None
        elif name in IPS and value:
            masked[name] = pii.masked("ip", str(value))
        elif name in TEXTS and value:
            masked[name] = pii.masked_text(str(value))
        elif name == "parameters" and value:
            masked[name] = {key: pii.masked(key, text) for key, text in value.items()}
    return masked
