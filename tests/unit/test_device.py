"""What a User-Agent says: class of device, browser, system, and whether a person sits there (C02, C05)."""

import pytest

from streams.ingest.device import LONGEST, Device, device_of

CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
AGENTS = [
    (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36", ("mobile", "Chrome Mobile", "Android")),
    (f"Mozilla/5.0 (Linux; Android 13; SM-X906C) {CHROME} Safari/537.36", ("tablet", "Chrome", "Android")),
    ("Mozilla/5.0 (iPad; CPU OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1", ("tablet", "Mobile Safari", "iOS")),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0 Mobile/15E148 Safari/604.1", ("mobile", "Chrome Mobile iOS", "iOS")),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/430.0]", ("mobile", "Facebook", "iOS")),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/131.0", ("desktop", "Edge", "Windows")),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", ("desktop", "Firefox", "Linux")),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15", ("desktop", "Safari", "Mac OS X")),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", ("desktop", "Chrome", "Chrome OS")),
    ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 Safari/537.36 WebAppManager", ("tv", "Chrome", "Web0S")),
    ("Mozilla/5.0 (PlayStation 4 3.11) AppleWebKit/537.73 (KHTML, like Gecko)", ("console", None, None)),
    ("Mozilla/5.0 of something else", (None, None, None)),
    ("", (None, None, None)),
]  # fmt: skip
BOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {CHROME} Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "curl/8.5.0",
    "python-requests/2.31",
    "Go-http-client/1.1",
    "UptimeRobot/2.0",
]


@pytest.mark.parametrize(("agent", "found"), AGENTS, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_a_person(agent, found):
    assert device_of(agent) == Device(*found, is_bot=False)


@pytest.mark.parametrize("agent", BOTS, ids=lambda agent: agent[:40])
def test_a_bot(agent):
    found = device_of(agent)
    assert (found.device_type, found.is_bot) == ("bot", True)


def test_an_agent_that_never_ends_costs_no_more_than_its_beginning():
    beginning = "Mozilla/5.0 (Windows NT 10.0) Firefox/132.0 "
    assert device_of(beginning + "x" * 1_000_000) == device_of(beginning.ljust(LONGEST, "x"))
