"""A real browser on the real server with the demo model: one of each for all tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from watched_page import WatchedPage, watched

REQUIRED = "PAGE_TESTS"
"""Set to `required` where a missing browser is an error: in CI."""
HOW = "tests/page left out: they need Chromium (Debian: apt-get install chromium), on the PATH or named by CHROMIUM"


def find_browser() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without a browser there is nothing to collect; `pytest_terminal_summary` says so in one line."""
    if collection_path.name.startswith("test_") and find_browser() is None and os.environ.get(REQUIRED) != "required":
        return True
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if find_browser() is None and "not browser" not in str(config.option.markexpr):
        terminalreporter.write_line(HOW)


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    # PAGE_URL saves the start of a server while the page is worked on.
    given = os.environ.get("PAGE_URL")
    return given or str(request.getfixturevalue("demo_server").url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed after each module: Playwright's event loop would be in the way of tests that start one."""
    program = find_browser()
    assert program, HOW
    with sync_playwright() as playwright:
        # Containers run as root, where Chromium's sandbox does not start, and have a small /dev/shm.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server_url: str) -> Iterator[Page]:
    """The open page. At the end: nothing went to another host, and the console has no error."""
    with watched(browser, server_url) as page:
        yield page


@pytest.fixture
def coins(page: Page) -> Page:
    """The page with the sample `coins`, encoded."""
    return open_coins(page)


def open_coins(page: Page) -> Page:
    page.get_by_role("button", name="coins").click()
    WatchedPage(page).expect_status("Ready")
    return page
