"""Makes the pictures of the page for the documents, from a server that runs.

    SAM_MODEL_TYPE=demo make serve
    .venv/bin/python scripts/page_pictures.py [http://127.0.0.1:5000]

Needs Chromium, as tests/page does.
"""

import io
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DESK = (1440, 900)
PHONE = (360, 760)
QUALITY = 86


@contextmanager
def opened(browser: Browser, url: str, size: tuple[int, int], scheme: str, sample: str) -> Iterator[Page]:
    """The page with a sample picture, encoded."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        device_scale_factor=2 if size == PHONE else 1,
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page.goto(url)
    page.get_by_role("button", name=sample).click()
    expect(page.get_by_role("status")).to_have_text("Ready")
    yield page
    context.close()


def measure(page: Page, groups: int) -> None:
    """Objects, measured in micrometres and grouped by size."""
    page.locator("#pixel-size").fill("0.25")
    page.locator("#unit").select_option("µm")
    page.get_by_role("button", name="Analyse").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("objects$"))
    page.locator("#group-count").select_option(str(groups))
    expect(page.locator("#groups tbody tr")).to_have_count(groups)


def save(page: Page, name: str) -> None:
    page.wait_for_timeout(400)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.save(IMAGES / f"{name}.jpg", quality=QUALITY, subsampling=0, optimize=True, progressive=True)


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """A pixel of the picture on the screen."""
    box = page.get_by_label("Picture with masks", exact=True).bounding_box()
    assert box
    left, top, scale = page.evaluate("[samServe.stage.view.x, samServe.stage.view.y, samServe.stage.view.scale]")
    return box["x"] + left + x * scale, box["y"] + top + y * scale


def main(url: str = "http://127.0.0.1:5000") -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with opened(browser, url, DESK, "light", "coins") as page:
            measure(page, 2)
            page.locator("#objects tbody tr").nth(1).hover()
            save(page, "page-light")
        with opened(browser, url, DESK, "dark", "cells") as page:
            measure(page, 2)
            page.locator("summary", has_text=re.compile("^Filters$")).click()
            page.locator("#filters").scroll_into_view_if_needed()
            save(page, "page-dark")
        with opened(browser, url, DESK, "light", "coins") as page:
            page.mouse.click(*place(page, 56, 55))
            expect(page.get_by_role("status")).to_have_text(re.compile("Mask 1"))
            page.mouse.click(*place(page, 104, 62), button="right")
            expect(page.get_by_role("status")).to_have_text(re.compile("Mask 1"))
            save(page, "page-click")
        with opened(browser, url, PHONE, "dark", "coins") as page:
            measure(page, 2)
            page.evaluate("scrollTo(0, 0)")
            save(page, "page-phone")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
