"""Secrets out of what people read: the destination's own by value, others by the name of their parameter."""

import re
from urllib.parse import quote

HIDDEN = "***"
_PARAMETER = re.compile(r"(?i)([?&](?:[\w.-]*[_.-])?(?:secret|password|token|api_?key|key|passphrase|signature|sig|auth)=)[^&#\s]+")
_USERINFO = re.compile(r"(?i)(https?://)[^/@\s]+@")


def masked(text: str, secrets: list[str]) -> str:
    """The text with each secret, as it is or percent-encoded, and the value of each parameter that is named like one, as ***."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
        if (encoded := quote(secret, safe="")) != secret:
            text = text.replace(encoded, HIDDEN)
    return _USERINFO.sub(rf"\1{HIDDEN}@", _PARAMETER.sub(rf"\1{HIDDEN}", text))
