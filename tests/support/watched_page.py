"""The page in a browser, watched: console, other hosts; and what tests do with it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

EXPECTED_ERROR = re.compile(r"Failed to load resource: .*(40[014]|415|422|50[34]|ERR_FAILED|ERR_CONNECTION)")
"""The browser itself logs answers that are errors; what the page does about them is what tests look at."""


ENOUGH_MS = 60_000
"""For any one step, on a machine that does other work too."""


@contextmanager
def watched(browser: Browser, url: str, width: int = 1280, height: int = 800, **options: object) -> Iterator[Page]:
    """A fresh tab with the page. At the end: no request went to another host, and nothing was wrong in the console."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(ENOUGH_MS)
    expect.set_options(timeout=ENOUGH_MS)
    wrong: list[str] = []

    def note_message(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not EXPECTED_ERROR.search(message.text):
            wrong.append(message.text)

    def note_request(request: Request) -> None:
        if not request.url.startswith(("blob:", "data:")) and urlsplit(request.url).netloc != urlsplit(url).netloc:
            wrong.append(request.url)

    page.on("console", note_message)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", note_request)
    page.goto(url + "/")
    yield page
    context.close()
    assert not wrong, wrong


@dataclass
class WatchedPage:
    """Shorthands for one page."""

    page: Page

    def expect_status(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_role("status")).to_have_text(text)

    @property
    def canvas(self) -> Locator:
        return self.page.get_by_label("Picture with masks", exact=True)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place of the picture, in its pixels, on the screen."""
        box = self.canvas.bounding_box()
        assert box
        left, top, scale = self.page.evaluate(
            "[samServe.stage.view.x, samServe.stage.view.y, samServe.stage.view.scale]"
        )
        return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale

    def hover(self, x: float, y: float) -> None:
        self.page.mouse.move(*self.place(x, y))

    def click(self, x: float, y: float, button: str = "left") -> None:
        at = self.place(x, y)
        self.page.mouse.click(*at, button=button)  # type: ignore[arg-type]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=4)
        self.page.mouse.up()

    def tool(self, name: str) -> None:
        self.page.get_by_role("radio", name=name).check(force=True)

    def press_button(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    @property
    def objects(self) -> Locator:
        return self.page.get_by_role("table", name="Objects", exact=True).locator("tbody tr")
