"""Makes the pictures of the page for the documents, from a server that runs.

    SAM_MODEL_TYPE=demo make serve
    .venv/bin/python scripts/page_pictures.py [http://127.0.0.1:5000]

Needs Chromium, as tests/page does.
"""

import io
import re
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT = 1440, 900


def take(browser: Browser, url: str, name: str, sample: str, scheme: str, groups: str) -> None:
    """One picture: a sample, found, measured and grouped."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page.goto(url)
    status = page.get_by_role("status")
    page.get_by_role("button", name=sample).click()
    expect(status).to_have_text("Ready")
    page.locator("#pixel-size").fill("0.25")
    page.locator("#unit").select_option("µm")
    page.get_by_role("button", name="Analyse").click()
    expect(status).to_have_text(re.compile("objects$"))
    page.locator("#group-count").select_option(groups)
    expect(page.locator("#groups tbody tr")).to_have_count(int(groups))
    page.locator("#objects tbody tr").nth(1).hover()
    page.wait_for_timeout(300)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.save(IMAGES / f"{name}.webp", quality=82, method=6)
    context.close()


def main(url: str = "http://127.0.0.1:5000") -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take(browser, url + "/", "page-light", "coins", "light", "3")
        take(browser, url + "/", "page-dark", "cells", "dark", "2")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
