"""Every format, the view as a picture, and what was done as a command that does it again."""

import csv
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from watched_page import WatchedPage

pytestmark = pytest.mark.browser

FORMATS = ["xlsx", "csv", "geojson", "rois", "labels", "coco", "yolo", "overlay", "json", "archive"]


@pytest.fixture
def measured(coins: Page) -> Page:
    coins.get_by_role("button", name="Analyse").click()
    WatchedPage(coins).expect_status(re.compile(r"^\d+ objects$"))
    return coins


def export(page: Page, kind: str, folder: Path) -> Path:
    page.get_by_label("Format").select_option(kind)
    with page.expect_download() as coming:
        page.get_by_role("button", name="Export").click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def test_every_format_comes_as_a_file_named_after_the_picture(measured: Page, tmp_path: Path) -> None:
    choices = measured.get_by_label("Format").locator("option").evaluate_all("(all) => all.map((one) => one.value)")
    assert sorted(choices) == sorted(FORMATS)
    for kind in FORMATS:
        path = export(measured, kind, tmp_path)
        assert path.stat().st_size > 100, kind
        assert path.name.startswith("coins-"), kind


def test_what_is_hidden_is_not_exported_and_groups_stay(measured: Page, tmp_path: Path) -> None:
    seen = WatchedPage(measured)
    measured.locator("#group-count").select_option("3")
    expect(measured.get_by_role("table", name="Groups", exact=True).locator("tbody tr")).to_have_count(3)
    total = seen.objects.count()
    seen.objects.nth(2).click()
    seen.expect_status(f"{total - 1} objects")
    shown = measured.evaluate(
        "samServe.store.doc.items.filter((item) => !samServe.store.doc.hidden.has(item.key)).map((item) => item.group)"
    )
    with export(measured, "csv", tmp_path).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["group"] for row in rows] == shown


def test_the_view_is_saved_as_it_is_seen(measured: Page, tmp_path: Path) -> None:
    with measured.expect_download() as coming:
        measured.get_by_role("button", name="Save the view").click()
    path = tmp_path / "view.png"
    coming.value.save_as(path)
    with Image.open(path) as view:
        assert view.width > 384
        assert len(np.unique(np.asarray(view.convert("RGB")).reshape(-1, 3), axis=0)) > 500


def test_copy_as_curl_does_it_again(measured: Page, tmp_path: Path) -> None:
    measured.get_by_role("button", name="Copy as curl").click()
    command = measured.evaluate("navigator.clipboard.readText()")
    assert measured.locator("#snippet-text").inner_text() == command
    (tmp_path / "coins.jpg").write_bytes(
        (Path(__file__).parents[2] / "deployments/http/page/files/coins.jpg").read_bytes()
    )
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    shown = WatchedPage(measured).objects.count()
    assert len(json.loads(done.stdout)["objects"]) == shown


def test_copy_as_python_is_a_program_of_the_client(measured: Page) -> None:
    seen = WatchedPage(measured)
    seen.press_button("Copy as Python")
    text = measured.evaluate("navigator.clipboard.readText()")
    compile(text, "snippet", "exec")
    assert "from client import SamClient" in text
    assert "picture.analyze(" in text
    seen.press_button("Close")
    seen.click(56, 55)
    seen.expect_status(re.compile("Mask 1 of 3"))
    seen.press_button("Copy as Python")
    assert "picture.segment(points=[[56, 55]], labels=[1])" in measured.evaluate("navigator.clipboard.readText()")
