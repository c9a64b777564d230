"""A real Chromium, the system's own: playwright drives it and brings none.

Where there is none and the tests run as root on a Debian, they install the system's package: the only thing that `make test` wants of a machine
beyond Python. Elsewhere they are skipped, and the end of the run says so in words that nobody overlooks.
"""

import os
import shutil
import subprocess

import pytest
from playwright.async_api import async_playwright

from tests.browser.console_site import Site

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ABSENT = f"no Chromium here (looked for {', '.join(NAMES)}); install one, for example `apt-get install chromium`"
INSTALL_S = 600
_did_not_run = []


@pytest.fixture(scope="session")
def chromium_path():
    found = _found() or _installed()
    if found is None:
        _did_not_run.append(ABSENT)
        pytest.skip(ABSENT)
    return found


def _found():
    return next(filter(None, map(shutil.which, NAMES)), None)


def _installed():
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    print("no Chromium here: installing the system's package")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        if subprocess.run(command, env=env, stdout=subprocess.DEVNULL, timeout=INSTALL_S, check=False).returncode:
            return None
    return _found()


def pytest_terminal_summary(terminalreporter):
    if _did_not_run:
        terminalreporter.section("THE BROWSER TESTS DID NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(_did_not_run[0])


@pytest.fixture(scope="session")
async def chromium(chromium_path):
    """A started browser; each test opens contexts of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def site(chromium, clickhouse, tmp_path_factory):
    """The console with a story in its log, on a broker of its own: see `console_site.py`."""
    async with Site(chromium, clickhouse, tmp_path_factory.mktemp("console")) as found:
        yield found
