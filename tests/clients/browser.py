"""A real browser, Debian's Chromium, driven by Playwright.

CHROMIUM names another program. Without one the tests of pages are skipped, and `.ci/run` says so.
"""

import os
import shutil

import pytest
from server import WAIT_S

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
# Root may not use the browser's own sandbox; and it must not look for updates.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here")


class Windows:
    """Windows of one browser. Whatever a page complains of fails the test."""

    def __init__(self, browser):
        self._browser = browser
        self._pages = []
        self.complaints = []

    def open(self, url: str, user: str | None = None, **options):
        """A window with a storage of its own, in which the console acts as `user`."""
        context = self._browser.new_context(viewport={"width": 1280, "height": 860}, **options)
        if user:
            context.add_init_script(f"localStorage.getItem('whimbrel.user') ?? localStorage.setItem('whimbrel.user', '{user}')")
        page = context.new_page()
        page.set_default_timeout(1_000 * WAIT_S)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda line: self._said(page, line))
        page.goto(url)
        return page

    def _said(self, page, line):
        # A browser writes each refused call and lost connection there, which tests make on purpose.
        is_expected = "Failed to load resource" in line.text or "net::ERR_" in line.text
        if line.type in ("error", "warning") and not is_expected:
            self.complaints.append(f"{page.url}: {line.text}")


@pytest.fixture(scope="module")
def browser():
    """One browser for the tests of a file. Others cannot use asyncio meanwhile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def windows(browser):
    """Opens windows of the browser."""
    windows = Windows(browser)
    yield windows
    for context in browser.contexts:
        for page in context.pages:
            # Printed only if the test fails.
            print(f"{page.url} shows:\n{page.inner_text('body')}")
        context.close()
    assert not windows.complaints, windows.complaints
