"""A picture in, and the page itself: sizes, light and dark, keyboard, axe; names that are text."""

import base64
import io
import re

import numpy as np
import pytest
import skimage.data
import tifffile
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from watched_page import WatchedPage, watched

pytestmark = pytest.mark.browser

COINS = skimage.data.coins()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found]


def give(page: Page, name: str, content: bytes) -> None:
    kind = "image/tiff" if name.endswith((".tif", ".tiff")) else "image/png"
    page.get_by_label("Picture", exact=True).set_input_files({"name": name, "mimeType": kind, "buffer": content})


@pytest.mark.parametrize(("width", "height"), [(360, 740), (800, 1100), (1280, 800), (3840, 2160)])
def test_nothing_is_cut_off_at_any_size(browser: Browser, server_url: str, width: int, height: int) -> None:
    with watched(browser, server_url, width, height) as page:
        WatchedPage(page).expect_status("Ready")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("Segment everything", "Analyse", "Export", "Undo"):
            button = page.get_by_role("button", name=name)
            button.scroll_into_view_if_needed()
            box = button.bounding_box()
            assert box, name
            assert 0 <= box["x"] <= width - box["width"], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, server_url: str, scheme: str) -> None:
    with watched(browser, server_url, color_scheme=scheme) as page:
        seen = WatchedPage(page)
        assert violations(page) == []
        seen.press_button("coins")
        seen.expect_status("Ready")
        seen.click(56, 55)
        seen.expect_status(re.compile("Mask 1 of 3"))
        seen.press_button("Keep")
        for summary in ("Parameters", "Filters", "Rules", "Look"):
            page.locator("summary", has_text=re.compile(f"^{summary}$")).click()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Keys and help").click()
        assert violations(page) == []


def test_a_question_mark_shows_the_keys(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.get_by_role("button", name="Keys and help").click()
    page.get_by_label("Single letters work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_a_file_is_shown_with_its_name_as_text(page: Page) -> None:
    seen = WatchedPage(page)
    name = "<b onmouseover=alert(1)>coins.png"
    give(page, name, png(COINS))
    seen.expect_status("Ready")
    expect(page.locator("#picture-name")).to_have_text(f"{name} · 384 \u00d7 303")
    assert page.locator("#picture-name b").count() == 0


def test_the_status_says_what_happens(page: Page) -> None:
    seen = WatchedPage(page)
    seen.expect_status("Ready")
    page.route("**/embeddings", lambda route: (page.wait_for_timeout(400), route.continue_()))
    seen.press_button("cells")
    seen.expect_status("Encoding")
    seen.expect_status("Ready")
    expect(page.locator("#picture-name")).to_contain_text("560 \u00d7 420")


def test_a_tiff_of_16_bits_is_shown_as_the_server_reads_it_page_by_page(page: Page) -> None:
    seen = WatchedPage(page)
    buffer = io.BytesIO()
    pages = np.stack([COINS, COINS[::-1]]).astype(np.uint16) * 16 + 1000
    tifffile.imwrite(buffer, pages, photometric="minisblack", description="<b>markup</b>", metadata=None)
    give(page, "coins.tif", buffer.getvalue())
    seen.expect_status("Ready")
    expect(page.locator("#picture-name")).to_have_text("coins.tif \u00b7 384 \u00d7 303")
    expect(page.locator("#decode-note")).to_contain_text("2 pages, 1 channel, uint16")
    page.get_by_label("Page", exact=True).fill("2")
    page.keyboard.press("Tab")
    seen.expect_status("Encoding")
    seen.expect_status("Ready")
    seen.click(56, 303 - 55)
    seen.expect_status(re.compile("Mask 1 of 3"))
    box = page.evaluate("samServe.store.doc.candidates[0].region.bbox")
    assert box[2] < 100


def test_the_frames_of_an_animation_can_be_chosen(page: Page) -> None:
    seen = WatchedPage(page)
    buffer = io.BytesIO()
    frames = [Image.fromarray(frame) for frame in (COINS, COINS[::-1])]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    give(page, "coins.gif", buffer.getvalue())
    seen.expect_status("Ready")
    page.get_by_label("Page", exact=True).fill("2")
    page.keyboard.press("Tab")
    seen.expect_status("Ready")
    assert page.evaluate("samServe.session.encoded().then((encoded) => encoded.decode.page)") == 1
    page.get_by_label("Page", exact=True).fill("3")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("page")
    expect(page.get_by_label("Page", exact=True)).to_have_value("2")


def test_channels_that_are_not_there_are_refused_with_the_numbers_of_the_page(page: Page) -> None:
    seen = WatchedPage(page)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([COINS, COINS[::-1]]), photometric="minisblack", planarconfig="separate")
    give(page, "two.tif", buffer.getvalue())
    seen.expect_status("Ready")
    for wrong in ("3", "0", "one"):
        page.get_by_label("Channels").fill(wrong)
        page.keyboard.press("Tab")
        expect(page.get_by_role("alert")).to_contain_text("from 1 to 2")
        expect(page.get_by_label("Channels")).to_have_value("1, 2")
        seen.press_button("Dismiss")
    seen.expect_status("Ready")


DROP = """async ([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
}"""
PASTE = """async ([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
}"""


@pytest.mark.parametrize("way", [DROP, PASTE], ids=["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page: Page, way: str) -> None:
    page.evaluate(way, [base64.b64encode(png(COINS[:200])).decode(), "part.png"])
    expect(page.locator("#picture-name")).to_have_text("part.png · 384 \u00d7 200")
    WatchedPage(page).expect_status("Ready")


def test_a_file_that_is_no_picture_says_what_to_do_and_loses_nothing(coins: Page) -> None:
    seen = WatchedPage(coins)
    give(coins, "notes.png", b"this is no picture")
    notice = coins.get_by_role("alert")
    expect(notice).to_contain_text("notes.png could not be opened")
    expect(notice).to_contain_text("PNG")
    seen.press_button("Dismiss")
    expect(notice.locator(".notice")).to_have_count(0)
    # The page goes on with the picture that was open.
    seen.click(56, 55)
    seen.expect_status(re.compile("Mask 1 of 3"))
