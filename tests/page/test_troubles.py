"""What goes wrong: a key that is needed, a server that restarts or is away, an error in the middle."""

import json
import re
from collections.abc import Iterator

import pytest
from http_server import listening
from local_graph import LocalGraph
from playwright.sync_api import Browser, Page, Route, expect
from watched_page import WatchedPage, watched

from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys

pytestmark = pytest.mark.browser

KEY = "alice-0123456789abcdef"
MASK = re.compile("Mask 1 of 3")


@pytest.fixture(scope="module")
def keyed_url() -> Iterator[str]:
    """A server in this process that needs an API key."""
    graph = LocalGraph(settings={"api_keys": parse_api_keys(f"alice:{KEY}")})
    with listening(create_app(graph.service)) as url:
        yield url


def without_previews(page: Page) -> None:
    """Only clicks ask the server from now on."""
    page.locator("#preview").evaluate("(box) => box.click()")


def test_the_page_asks_for_the_key_and_keeps_it_in_the_tab(browser: Browser, keyed_url: str) -> None:
    with watched(browser, keyed_url) as page:
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_be_visible()
        for key, text in (("wrong-0123456789abcdef", "needs an API key"), (KEY, "does not know")):
            expect(dialog).to_contain_text(text)
            page.get_by_label("API key", exact=True).fill(key)
            page.get_by_role("button", name="Use this key").click()
        expect(dialog).to_be_hidden()
        seen = WatchedPage(page)
        seen.press_button("coins")
        expect(page.locator("#picture-name")).to_contain_text("coins")
        seen.expect_status("Ready")
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        page.reload()
        seen.press_button("cells")
        expect(page.locator("#picture-name")).to_contain_text("cells")
        expect(dialog).to_be_hidden()


def test_who_gives_no_key_is_asked_again_when_one_is_needed(browser: Browser, keyed_url: str) -> None:
    with watched(browser, keyed_url) as page:
        seen = WatchedPage(page)
        dialog = page.get_by_role("dialog", name="API key")
        for _ in range(2):
            expect(dialog).to_be_visible()
            page.keyboard.press("Escape")
            expect(dialog).to_be_hidden()
            seen.expect_status("Ready")
            expect(page.get_by_text("Drop a picture here")).to_be_visible()
            seen.press_button("coins")
        page.get_by_label("API key", exact=True).fill(KEY)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#picture-name")).to_contain_text("coins")
        seen.expect_status("Ready")
        # What could not be asked at the start has come, too.
        expect(page.get_by_label("Preset").locator("option").first).to_be_attached()


def test_a_picture_that_the_server_has_forgotten_is_sent_again(coins: Page) -> None:
    """As after a restart: the id is unknown once."""
    seen = WatchedPage(coins)
    sent: list[str] = []
    coins.on("request", lambda request: sent.append(request.url) if request.url.endswith("/embeddings") else None)
    forgotten: list[int] = []

    def forget_once(route: Route) -> None:
        if forgotten:
            route.continue_()
            return
        forgotten.append(1)
        problem = {"status": 404, "code": "unknown_image", "detail": "this server does not hold the picture"}
        route.fulfill(status=404, body=json.dumps(problem), headers={"content-type": "application/problem+json"})

    without_previews(coins)
    coins.route("**/segment", forget_once)
    seen.click(56, 55)
    seen.expect_status(MASK)
    assert len(sent) == 1


def test_a_server_that_is_away_is_waited_for_and_nothing_is_lost(coins: Page) -> None:
    seen = WatchedPage(coins)
    seen.click(56, 55)
    seen.expect_status(MASK)
    seen.press_button("Keep")
    coins.route(re.compile("/(segment|health|embeddings)$"), lambda route: route.abort())
    seen.click(335, 45)
    expect(coins.get_by_role("alert")).to_contain_text("The server does not answer")
    seen.expect_status("Waiting for the server")
    coins.unroute_all()
    seen.expect_status(MASK)
    expect(coins.get_by_role("alert").locator(".notice")).to_have_count(0)
    expect(seen.objects).to_have_count(1)


def test_an_error_says_what_to_do_and_takes_the_step_back(coins: Page) -> None:
    seen = WatchedPage(coins)
    without_previews(coins)
    problem = {"status": 504, "code": "timeout", "detail": "no answer within 120 s", "request_id": "r"}
    coins.route("**/segment", lambda route: route.fulfill(status=504, body=json.dumps(problem)))
    seen.click(56, 55)
    expect(coins.get_by_role("alert")).to_contain_text("no answer within 120 s. Try fewer points a side")
    assert coins.evaluate("samServe.store.doc.prompt.points.length") == 0
