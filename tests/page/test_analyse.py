"""Measured, filtered, grouped and scaled; the list and the picture; figures that follow a hidden object."""

import json
import re

import pytest
from playwright.sync_api import Page, expect
from watched_page import WatchedPage

pytestmark = pytest.mark.browser

COUNT = re.compile(r"^([\d,]+) objects?$")


def count(page: Page) -> int:
    expect(page.get_by_role("status")).to_have_text(COUNT)
    found = COUNT.match(page.get_by_role("status").inner_text())
    assert found
    return int(found.group(1).replace(",", ""))


@pytest.fixture
def measured(coins: Page) -> Page:
    """The coins, found and measured by the preset `objects`."""
    coins.get_by_role("button", name="Segment everything").click()
    count(coins)
    coins.get_by_role("button", name="Analyse").click()
    expect(coins.get_by_role("table", name="Groups", exact=True)).to_be_visible()
    count(coins)
    return coins


def group_rows(page: Page) -> list[list[str]]:
    rows = page.get_by_role("table", name="Groups", exact=True).locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_the_coins_are_counted_grouped_and_every_figure_follows_a_hidden_one(measured: Page) -> None:
    seen = WatchedPage(measured)
    total = count(measured)
    assert 20 <= total <= 30
    expect(seen.objects).to_have_count(total)
    measured.get_by_role("combobox", name="Groups", exact=True).select_option("2")
    expect(measured.get_by_role("table", name="Groups", exact=True).locator("tbody tr")).to_have_count(2)
    before = group_rows(measured)
    assert sum(int(row[1]) for row in before) == total
    # The page's own figures are the server's.
    groups = measured.evaluate("samServe.store.doc.analysis.groups")
    for row, group in zip(before, groups, strict=True):
        figures = group["statistics"]["equivalent_diameter"]
        for text, name in zip(row[3:], ("mean", "std", "d10", "median", "d90"), strict=True):
            assert float(text) == pytest.approx(figures[name], rel=6e-3), name
    seen.objects.first.click()
    seen.expect_status(f"{total - 1} objects")
    after = group_rows(measured)
    assert sum(int(row[1]) for row in after) == total - 1
    assert after != before
    expect(measured.locator("#headline")).to_contain_text("1 hidden")
    measured.get_by_role("button", name="Undo").click()
    assert group_rows(measured) == before
    # By hand: the smallest is hidden with the keyboard.
    seen.objects.last.get_by_role("button").focus()
    measured.keyboard.press("Enter")
    seen.expect_status(f"{total - 1} objects")


def test_the_list_and_the_picture_highlight_each_other(measured: Page) -> None:
    seen = WatchedPage(measured)
    key = int(seen.objects.nth(3).get_attribute("data-key") or 0)
    seen.objects.nth(3).hover()
    assert measured.evaluate("samServe.highlighted") == key
    x, y = measured.evaluate(f"samServe.store.doc.items.find((item) => item.key === {key}).measured.centroid")
    seen.tool("Move")
    seen.hover(round(x), round(y))
    expect(seen.objects.nth(3)).to_have_class(re.compile("lit"))
    total = count(measured)
    seen.click(round(x), round(y))
    seen.expect_status(f"{total - 1} objects")


def test_a_scale_is_typed_or_measured_with_two_clicks(measured: Page) -> None:
    seen = WatchedPage(measured)
    measured.get_by_label("One pixel is").fill("0.5")
    measured.get_by_label("Unit").first.select_option("µm")
    expect(measured.get_by_role("columnheader", name="Diameter (µm)")).to_be_visible()
    half = measured.evaluate("samServe.store.doc.items[0].measured.measurements")
    pixels = measured.evaluate("samServe.store.doc.items[0].measured.measurements_px")
    assert half["equivalent_diameter"] == pytest.approx(pixels["equivalent_diameter"] / 2)
    measured.get_by_role("button", name="Measure a known length").click()
    seen.click(50, 100)
    seen.click(150, 100)
    measured.get_by_label("The line is").fill("200")
    measured.locator("#ruler-unit").select_option("mm")
    measured.get_by_role("button", name="Use this scale").click()
    expect(measured.get_by_role("columnheader", name="Diameter (mm)")).to_be_visible()
    scale = measured.evaluate("samServe.store.doc.scale")
    assert scale["unit"] == "mm"
    assert scale["pixel_size"] == pytest.approx(2, rel=0.02)
    expect(measured.locator("#scale-bar-text")).to_contain_text("mm")


def test_rules_and_presets_are_controls(measured: Page) -> None:
    seen = WatchedPage(measured)
    total = count(measured)
    measured.locator("summary", has_text=re.compile("^Filters$")).click()
    measured.get_by_label("Diameter, at least").fill("45")
    measured.keyboard.press("Tab")
    expect(seen.objects).not_to_have_count(total)
    fewer = count(measured)
    assert 0 < fewer < total
    # The histogram still shows all of them.
    assert measured.evaluate("samServe.analyses.controls.population('equivalent_diameter').length") == total
    measured.get_by_role("button", name="Undo").click()
    expect(measured.get_by_label("Diameter, at least")).to_have_value("")
    expect(seen.objects).to_have_count(total)
    slider = measured.get_by_role("slider", name="Diameter, to")
    slider.focus()
    for _ in range(6):
        slider.press("PageDown")
    expect(seen.objects).not_to_have_count(total)
    with measured.expect_request("**/analyze") as asked:
        measured.get_by_label("Preset").select_option("particles")
    assert json.loads(asked.value.post_data or "")["preset"] == "particles"
    count(measured)
    measured.locator("summary", has_text=re.compile("^Rules$")).click()
    expect(measured.get_by_label("Leave out the background")).to_be_checked()


def test_analyse_alone_finds_the_objects_too(coins: Page) -> None:
    coins.get_by_role("button", name="Analyse").click()
    expect(WatchedPage(coins).objects.first).to_be_visible()
    assert 20 <= count(coins) <= 30
