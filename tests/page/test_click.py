"""Clicks: the mask before the click, points added and taken away, boxes, candidates, undo, and keeping."""

import re

import pytest
from playwright.sync_api import Page, expect
from watched_page import WatchedPage

pytestmark = pytest.mark.browser

COIN = (56, 55)
OTHER = (335, 45)
FOREGROUND = re.compile(r"Mask 1 of 3: [\d,]+ px, score [01]\.\d\d")


SWEEP = """([x, y, steps]) => {
  const { canvas } = samServe.stage;
  const at = (step) => ({ clientX: x + step, clientY: y, bubbles: true });
  for (let step = 0; step < steps; step++) canvas.dispatchEvent(new PointerEvent("pointermove", at(step)));
}"""
"""Movements that come faster than any answer."""


def area(page: Page) -> int:
    text = page.get_by_role("status").inner_text()
    found = re.search(r"([\d,]+) px", text)
    assert found, text
    return int(found.group(1).replace(",", ""))


def preview_is_shown(page: Page) -> None:
    for _ in range(200):
        if page.evaluate("samServe.stage.overlay.preview !== null"):
            return
        page.wait_for_timeout(25)
    raise AssertionError("no preview")


def test_the_mask_shows_before_the_click_and_the_click_takes_it(coins: Page) -> None:
    seen = WatchedPage(coins)
    seen.hover(*COIN)
    preview_is_shown(coins)
    shown = coins.evaluate("samServe.stage.overlay.preview.area")
    seen.click(*COIN)
    seen.expect_status(FOREGROUND)
    assert area(coins) == shown
    # The other two masks are there at once, with their scores, the best first.
    labels = coins.get_by_role("radiogroup", name="Candidates").get_by_role("radio").all()
    assert len(labels) == 3


def slow_embeddings(page: Page, ms: int) -> None:
    """The encoder takes so many milliseconds longer; the page's other requests are not held up."""
    page.add_init_script(
        f"""{{ const send = XMLHttpRequest.prototype.send;
        XMLHttpRequest.prototype.send = function (...body) {{ setTimeout(() => send.apply(this, body), {ms}); }}; }}"""
    )
    page.reload()


def test_the_status_is_not_ready_again_before_the_picture_is(page: Page) -> None:
    seen = WatchedPage(page)
    seen.expect_status("Ready")
    # At once, before the sample's file has come: whoever waits for "Ready" waits for the picture.
    said = page.evaluate(
        "document.getElementById('sample-coins').click(), document.getElementById('status').textContent"
    )
    assert said == "Encoding"
    seen.expect_status("Ready")
    assert page.evaluate("[samServe.isReady, samServe.stage.view.width]") == [True, 384]


def test_of_two_samples_the_last_one_stays(page: Page) -> None:
    seen = WatchedPage(page)
    for first, last, size in (("coins", "cells", "560 \u00d7 420"), ("cells", "coins", "384 \u00d7 303")):
        page.evaluate(f"for (const id of ['{first}', '{last}']) document.getElementById(`sample-${{id}}`).click()")
        seen.expect_status("Ready")
        expect(page.locator("#picture-name")).to_have_text(f"{last}.jpg \u00b7 {size}")
        assert page.evaluate("samServe.session.encoded().then((encoded) => encoded.size.join())") == ",".join(
            reversed(size.split(" \u00d7 "))
        )


def test_the_pointer_and_the_click_may_come_before_the_encoder_is_done(page: Page) -> None:
    slow_embeddings(page, 1_500)
    seen = WatchedPage(page)
    seen.press_button("coins")
    expect(page.locator("#picture-name")).to_contain_text("384")
    seen.hover(*COIN)
    seen.expect_status("Encoding")
    # The pointer rests: its mask comes by itself once the picture is encoded.
    preview_is_shown(page)
    seen.press_button("cells")
    expect(page.locator("#picture-name")).to_contain_text("560")
    seen.click(280, 210)
    seen.expect_status("Encoding")
    seen.expect_status(FOREGROUND)
    assert page.evaluate("samServe.store.doc.prompt.points.length") == 1


def test_right_and_alt_click_take_away_and_undo_brings_back(coins: Page) -> None:
    seen = WatchedPage(coins)
    seen.click(*COIN)
    seen.expect_status(FOREGROUND)
    first = area(coins)
    seen.click(180, 20, button="right")
    points = "samServe.store.doc.prompt.points.map((p) => p.label)"
    assert coins.evaluate(points) == [1, 0]
    seen.expect_status(FOREGROUND)
    coins.keyboard.down("Alt")
    seen.click(180, 250)
    coins.keyboard.up("Alt")
    assert coins.evaluate(points) == [1, 0, 0]
    seen.expect_status(FOREGROUND)
    seen.press_button("Undo")
    seen.press_button("Undo")
    assert coins.evaluate(points) == [1]
    assert coins.evaluate("samServe.store.doc.candidates[0].region.area") == first
    seen.press_button("Redo")
    assert coins.evaluate(points) == [1, 0]
    seen.press_button("Clear")
    assert coins.evaluate(points) == []
    expect(coins.get_by_role("button", name="Keep")).to_be_disabled()


def test_a_right_click_first_says_what_to_do(coins: Page) -> None:
    seen = WatchedPage(coins)
    seen.click(*COIN, button="right")
    seen.expect_status("Click the object first, then take away from it")


def test_dragging_makes_a_box_with_click_and_with_box(coins: Page) -> None:
    seen = WatchedPage(coins)
    for tool in ("Click", "Box"):
        seen.tool(tool)
        seen.drag((300, 10), (372, 75))
        seen.expect_status(FOREGROUND)
        box = coins.evaluate("samServe.store.doc.prompt.box")
        assert all(abs(value - wanted) < 1.5 for value, wanted in zip(box, (300.5, 10.5, 372.5, 75.5), strict=True))
        mask = coins.evaluate("samServe.store.doc.candidates[0].region.bbox")
        assert mask[0] > 280
        assert mask[2] < 100
        seen.press_button("Clear")


def test_tab_goes_through_the_candidates_and_escape_lets_it_go_on(coins: Page) -> None:
    seen = WatchedPage(coins)
    seen.click(*COIN)
    seen.expect_status(FOREGROUND)
    for number in (2, 3, 1):
        coins.keyboard.press("Tab")
        seen.expect_status(re.compile(rf"Mask {number} of 3: .*"))
    coins.keyboard.press("Shift+Tab")
    seen.expect_status(re.compile(r"Mask 3 of 3: .*"))
    coins.keyboard.press("Escape")
    coins.keyboard.press("Tab")
    expect(seen.canvas).not_to_be_focused()
    seen.expect_status(re.compile(r"Mask 3 of 3: .*"))


def test_keep_makes_an_object_with_a_name_that_is_text(coins: Page) -> None:
    seen = WatchedPage(coins)
    name = "<img src=x onerror=alert(1)>"
    seen.click(*COIN)
    seen.expect_status(FOREGROUND)
    coins.get_by_label("Name", exact=True).fill(name)
    coins.get_by_role("button", name="Keep").click()
    seen.expect_status("1 object")
    expect(seen.objects).to_have_count(1)
    expect(seen.objects.first).to_contain_text(name)
    assert coins.locator("#objects img").count() == 0
    seen.click(*OTHER)
    seen.expect_status(FOREGROUND)
    coins.keyboard.press("k")
    seen.expect_status("2 objects")
    coins.keyboard.press("Control+z")
    seen.expect_status("1 object")
    coins.keyboard.press("Control+Shift+z")
    seen.expect_status("2 objects")


def test_all_of_it_with_the_keyboard(coins: Page) -> None:
    seen = WatchedPage(coins)
    seen.canvas.focus()
    coins.keyboard.press("Enter")  # shows the cross in the middle
    for _ in range(3):
        coins.keyboard.press("ArrowLeft")
    coins.keyboard.press("Shift+ArrowUp")
    coins.keyboard.press("Enter")
    seen.expect_status(FOREGROUND)
    cross = coins.evaluate("samServe.stage.overlay.cross")
    point = coins.evaluate("samServe.store.doc.prompt.points[0]")
    assert [point["x"], point["y"]] == cross
    coins.keyboard.press("k")
    seen.expect_status("1 object")
    coins.keyboard.press("x")
    for _ in range(6):
        coins.keyboard.press("ArrowDown")
        coins.keyboard.press("ArrowRight")
    coins.keyboard.press("x")
    seen.expect_status(FOREGROUND)
    assert coins.evaluate("samServe.store.doc.prompt.box !== null")


def test_fewer_requests_than_movements_and_none_after_the_pointer_has_left(coins: Page) -> None:
    seen = WatchedPage(coins)
    asked: list[str] = []
    coins.on("request", lambda request: asked.append(request.url) if request.url.endswith("/segment") else None)
    seen.hover(40, 60)
    coins.evaluate(SWEEP, [*seen.place(40, 60), 80])
    preview_is_shown(coins)
    # The first place, and those where the pointer was when an answer came: not all 81.
    assert 1 <= len(asked) <= 4
    coins.mouse.move(2, 2)
    coins.wait_for_timeout(100)
    after = len(asked)
    coins.wait_for_timeout(300)
    assert len(asked) == after
    assert coins.evaluate("samServe.stage.overlay.preview") is None


def test_previews_turn_themselves_off_on_a_slow_server(coins: Page) -> None:
    seen = WatchedPage(coins)

    def slowly(route: object) -> None:
        coins.wait_for_timeout(750)
        route.continue_()  # type: ignore[attr-defined]

    coins.route("**/segment", slowly)
    for step in range(8):
        seen.hover(50 + 30 * step, 60)
        coins.wait_for_timeout(800)
        if not coins.get_by_label("Preview under the pointer").is_checked():
            break
    expect(coins.get_by_text("Previews are off")).to_be_visible()
    coins.unroute_all(behavior="ignoreErrors")
