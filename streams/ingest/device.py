"""Device, browser and system from a User-Agent, coarsely: only families that a few substrings tell apart for sure, else None.

Honest rather than complete: exact versions need a database that changes weekly (ua-parser), costs 50 us a look-up, and browsers freeze
those parts of the string anyway. The order matters: Edge and Opera call themselves Chrome, and Chrome calls itself Safari.
"""

from functools import lru_cache
from typing import NamedTuple

BROWSERS = (
    ("edg", "Edge"), ("opr/", "Opera"), ("samsungbrowser", "Samsung Internet"), ("firefox", "Firefox"), ("fxios", "Firefox"),
    ("crios", "Chrome"), ("chrome", "Chrome"), ("safari", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("windows", "Windows"), ("android", "Android"), ("iphone", "iOS"), ("ipad", "iOS"), ("mac os x", "macOS"), ("cros", "ChromeOS"),
    ("linux", "Linux"),
)  # fmt: skip
BOTS = ("bot", "crawl", "spider", "curl/", "python-", "headless", "monitor")


class Device(NamedTuple):
    """device_type: desktop, mobile, tablet, bot."""

    device_type: str | None
    browser: str | None
    os: str | None


@lru_cache(4096)
def device_of(user_agent: str) -> Device:
    """Return what the User-Agent says for sure."""
    text = user_agent.lower()
    if not text:
        return Device(None, None, None)
    browser = next((name for part, name in BROWSERS if part in text), None)
    system = next((name for part, name in SYSTEMS if part in text), None)
    if any(part in text for part in BOTS):
        return Device("bot", browser, system)
    if "ipad" in text or ("android" in text and "mobile" not in text):
        return Device("tablet", browser, system)
    if "mobi" in text or "iphone" in text:
        return Device("mobile", browser, system)
    return Device("desktop" if system in {"Windows", "macOS", "Linux", "ChromeOS"} else None, browser, system)
