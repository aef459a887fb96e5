"""`sam-serve everything`: files whole or not at all, and an exit status that is agreed."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import tifffile
from http_server import listening
from local_graph import LocalGraph
from pictures import stretched
from PIL import Image

from commands.main import main
from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys
from segmentation.weights.manifest import PROJECT_ROOT

CHEAP = json.dumps({"points_per_side": 6, "crop_n_layers": 0})
RANDOM = json.dumps(
    {"points_per_side": 3, "crop_n_layers": 0, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
)
"""Thresholds that keep masks of random weights."""


def run(*arguments: object, parameters: str = CHEAP) -> int:
    return main(["everything", *map(str, arguments), "--parameters", parameters])


def test_four_discs_in_every_format(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formats = "csv,xlsx,geojson,coco,yolo,labels,rois,overlay"
    assert run(picture, "-o", tmp_path / "out", "--formats", formats, "--pixel-size", "0.5um") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "discs.csv", "all.xlsx", "discs.geojson", "all.json", "discs.txt", "discs.labels.tif", "discs.rois.zip",
        "discs.overlay.png",
    }  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out" / "discs.csv").read_text("utf-8-sig").splitlines()))
    assert len(rows) == 4
    assert all(250 < float(row["area_um2"]) < 380 for row in rows)  # pi 20² pixels of 0.25 µm²
    assert len(np.unique(tifffile.imread(tmp_path / "out" / "discs.labels.tif"))) == 5
    assert len(json.loads((tmp_path / "out" / "all.json").read_text())["annotations"]) == 4
    assert openpyxl.load_workbook(tmp_path / "out" / "all.xlsx")["objects"].max_row == 5
    shown = capsys.readouterr().out
    assert "160 x 160" in shown
    assert "1 of 1 pictures" in shown


def test_a_damaged_file_costs_only_itself(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert run(tmp_path / "broken.png", picture, "-o", tmp_path / "out", "--formats", "csv,coco") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"discs.csv", "all.json"}
    shown = capsys.readouterr()
    assert shown.err.count("broken.png: the PNG picture is truncated or damaged") == 1
    assert "1 of 2 pictures" in shown.out


@pytest.mark.parametrize("kind", ["uint16", "float32", "planar", "orientation", "miniswhite"])
def test_what_is_drawn_is_the_picture_as_it_was_read(picture: Path, tmp_path: Path, kind: str) -> None:
    with Image.open(picture) as image:
        grey = np.asarray(image.convert("L"))[:120]  # no square, so that a turned one has another shape
    values = {
        "uint16": grey.astype(np.uint16) * 16,
        "float32": grey.astype(np.float32) / 255,
        "planar": np.stack([grey] * 5),
        "orientation": np.ascontiguousarray(np.rot90(grey)),
        "miniswhite": 255 - grey,
    }[kind]
    options: dict[str, Any] = {"photometric": "miniswhite" if kind == "miniswhite" else "minisblack"}
    if kind == "orientation":
        options["extratags"] = [(274, 3, 1, 6, True)]  # EXIF's: a quarter to the right makes it upright
    if kind == "planar":
        options["planarconfig"] = "separate"
    tifffile.imwrite(tmp_path / "discs.tif", values, **options)
    assert run(tmp_path / "discs.tif", "-o", tmp_path / "out", "--formats", "overlay") == 0
    with Image.open(tmp_path / "out" / "discs.overlay.png") as drawn:
        shown = np.asarray(drawn.convert("RGB")).astype(int)
    assert shown.shape == (*grey.shape, 3)
    expected = np.repeat((stretched(grey) if kind in {"uint16", "float32"} else grey)[:, :, None], 3, axis=2)
    assert np.array_equal(shown[:10, :10], expected[:10, :10])
    assert not np.array_equal(shown, expected)  # outlines


def test_two_pictures_of_one_name_and_names_of_any_bytes(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (b"a/discs.png", b"b/discs.png", b"caf\xe9\n.png"):
        target = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        target.parent.mkdir(exist_ok=True)
        shutil.copy(picture, target)
    assert run("a", "b", tmp_path, "-o", tmp_path / "out", "--formats", "csv,coco") == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in ("a/discs.png", "b/discs.png", "caf\N{REPLACEMENT CHARACTER}\\n.png"))
    assert {os.fsencode(path.name) for path in (tmp_path / "out").iterdir()} == {
        b"a_discs.png.csv", b"b_discs.png.csv", b"caf\xe9\n.csv", b"all.json",
    }  # fmt: skip


def test_by_a_server(url: str, picture: Path, tmp_path: Path) -> None:
    arguments = (picture, "-o", tmp_path / "out", "--formats", "coco", "--server", url, "--preset", "none")
    assert run(*arguments, parameters=RANDOM) == 0
    assert json.loads((tmp_path / "out" / "all.json").read_text())["annotations"]


def test_a_large_picture_by_tiles(tmp_path: Path) -> None:
    """Discs on the seams of 256-pixel tiles come once."""
    rows, columns = np.mgrid[:448, :448]
    pixels = np.full((448, 448), 60, np.uint8)
    centres = [(x, y) for x in (64, 224, 384) for y in (64, 224, 384)]
    for x, y in centres:
        pixels[(columns - x) ** 2 + (rows - y) ** 2 <= 24**2] = 200
    tifffile.imwrite(tmp_path / "large.tif", pixels, tile=(64, 64))
    tiled = ("--tile", 256, "--halo", 64, "--formats", "csv")
    parameters = json.dumps({"points_per_side": 12, "crop_n_layers": 0})
    assert run(tmp_path / "large.tif", "-o", tmp_path / "out", *tiled, parameters=parameters) == 0
    found = list(csv.DictReader((tmp_path / "out" / "large.csv").read_text("utf-8-sig").splitlines()))
    assert len(found) == len(centres)
    for x, y in centres:
        offsets = [(float(row["centroid_x_px"]) - x, float(row["centroid_y_px"]) - y) for row in found]
        assert min(max(abs(dx), abs(dy)) for dx, dy in offsets) < 3
    assert all(1600 < float(row["area_px2"]) < 2000 for row in found)  # pi 24²; a disc that a seam cuts has less


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "no such file: 'nowhere.png'"),
        (["."], "'.' holds no pictures"),
        (["x" * 300], "no such file"),
        (["/dev/null"], "'/dev/null' is neither a file nor a folder"),
        (["PICTURE", "--formats", "csv,doc"], "unknown format 'doc'"),
        (["PICTURE", "--preset", "stars"], "unknown preset"),
        (["PICTURE", "--pixel-size", "big"], "a pixel size is a number and a unit"),
        (["PICTURE", "--parameters", '{"points": 3}'], "points"),
        (["PICTURE", "--parameters", "[1]"], "parameters"),
        (["PICTURE", "--parameters", '{"points_per_side": NaN}'], "NaN"),
        (["PICTURE", "--halo", "5"], "--halo and --level go with --tile"),
        (["PICTURE", "--tile", "5"], "at least 64"),
        (["PICTURE", "--model", "vit_x"], "unknown model type 'vit_x'"),
        (["PICTURE", "--server", "127.0.0.1:5000"], "is not the address of a server"),
    ],
)
def test_wrong_use_is_said_in_a_line_and_writes_nothing(
    arguments: list[str],
    message: str,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(picture) if text == "PICTURE" else text for text in arguments]
    assert main(["everything", *given, "-o", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_file(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert run(picture, "-o", tmp_path / "out") == 2
    assert "can't write to" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_full_disk_leaves_nothing_half_written(picture: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from commands.main import main; import commands.everything;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        f"sys.exit(main(['everything', {str(picture)!r}, '-o', {str(tmp_path / 'out')!r},"
        f" '--formats', 'csv,overlay', '--parameters', {CHEAP!r}]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "SAM_MODEL_TYPE": "demo"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_ctrl_c_leaves_whole_files(picture: Path, tmp_path: Path) -> None:
    for number in range(200):
        shutil.copy(picture, tmp_path / f"p{number:03}.png")
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"  # ignored in the background
        "from commands.main import main;"
        f"sys.exit(main(['everything', {str(tmp_path)!r}, '-o', {str(tmp_path / 'out')!r},"
        f" '--formats', 'csv,coco', '--parameters', {CHEAP!r}]))"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "out").glob("*.csv")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert "none half" in process.stderr.read()
    for path in (tmp_path / "out").iterdir():
        assert path.suffix == ".csv"
        assert len(path.read_text("utf-8-sig").splitlines()) > 1


def test_a_mask_and_its_files(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = ["segment", str(picture), "--point", "40,40", "--point", "80,80,0", "--box", "10,10,70,70"]
    assert main(prompt) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 1000 < answer["area"] < 1500
    for ending in ("png", "json", "geojson", "txt"):
        assert main([*prompt, "-o", str(tmp_path / f"mask.{ending}")]) == 0
    with Image.open(tmp_path / "mask.png") as mask:
        assert np.asarray(mask).astype(bool).sum() == answer["area"]
    assert json.loads((tmp_path / "mask.json").read_text()) == answer
    assert json.loads((tmp_path / "mask.geojson").read_text())["features"]
    assert (tmp_path / "mask.txt").read_text().startswith("0 ")


def test_a_mask_by_a_server(url: str, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(picture), "--point", "40,40", "--server", url]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == [160, 160]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --point"),
        (["--point", "1"], "a point: X,Y"),
        (["--box", "1,2,3"], "a box"),
        (["--point", "500,1"], "a point must lie in"),
        (["--point", "1,1", "-o", "mask.gif"], "ends with none of"),
        (["--point", "1,1", "--server", "http://127.0.0.1:5000/", "--nothing"], "No such option"),
    ],
)
def test_wrong_prompts(arguments: list[str], message: str, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(picture), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_can_not_run_names_one_that_can(
    picture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SAM_MODEL_TYPE")
    monkeypatch.setenv("SAM_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("SAM_ONNX_DIR", str(tmp_path))
    monkeypatch.setenv("SAM_BACKEND", "onnx")
    assert main(["segment", str(picture), "--point", "1,1"]) == 2
    assert "--model demo" in capsys.readouterr().err


def test_a_file_that_can_not_be_written_is_named(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(picture), "--point", "40,40", "-o", str(tmp_path / "no" / "mask.png")]) == 2
    assert capsys.readouterr().err.strip().endswith(f"{tmp_path}/no/mask.png")


def test_a_key_that_is_missing_or_wrong(
    picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = LocalGraph(settings={"api_keys": parse_api_keys("me:a-key-of-many-letters")}).service
    with listening(create_app(service)) as url:
        for key in ("", "another-key-of-letters"):
            monkeypatch.setenv("SAM_API_KEY", key)
            assert main(["segment", str(picture), "--point", "40,40", "--server", url]) == 2
            assert capsys.readouterr().err.strip().endswith("commands take it from SAM_API_KEY")
        monkeypatch.setenv("SAM_API_KEY", "a-key-of-many-letters")
        assert main(["segment", str(picture), "--point", "40,40", "--server", url]) == 0
