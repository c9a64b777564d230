"""A real Chromium, the system's own: playwright drives it and brings none. Without one these tests are skipped, with the way to get it."""

import shutil

import pytest
from playwright.async_api import async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium_path():
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium here (looked for {', '.join(NAMES)}); install one, for example `apt-get install chromium`")
    return found


@pytest.fixture(scope="session")
async def chromium(chromium_path):
    """A started browser; each test opens contexts of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        await browser.close()
