"""Secrets out of what people read: the destination's own by value, others by the name of their parameter."""

import re
from urllib.parse import quote

HIDDEN = "***"
_PARAMETER = re.compile(r"(?i)([?&](?:[\w.-]*[_.-])?(?:secret|password|token|api_?key|key|passphrase|signature|sig|auth)=)[^&#\s]+")
_USERINFO = re.compile(r"(?i)(https?://)[^/@\s]+@")


def without(text: str, secrets: list[str]) -> str:
    """The text with each secret, as it is or percent-encoded, as ***."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
        if (encoded := quote(secret, safe="")) != secret:
            text = text.replace(encoded, HIDDEN)
    return text


def masked(text: str, secrets: list[str]) -> str:
    """The same, and the value of each parameter that is named like a secret, and what stands before an @, as ***."""
    text = without(text, secrets)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{HIDDEN}", text)
    return _USERINFO.sub(rf"\1{HIDDEN}@", text) if "@" in text else text
