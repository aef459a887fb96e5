"""Every export read back by its format's own reader."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas
import pytest
import tifffile
from drawn_masks import Samples, blob, disc, mask_set
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools.coco import COCO
from roifile import ImagejRoi, roiread
from shapely.geometry import shape

from analysis import Analysis, Source, analyze, export, export_many, read_scale, resolve_rules
from analysis.export.overlay import bar_length
from analysis.objects.properties import MEASUREMENTS
from segmentation.errors import InvalidRequest

SIZE = (90, 110)
EVIL = '=HYPERLINK("http://x","y")'


def drawn() -> list[NDArray[np.bool_]]:
    random = np.random.default_rng(9)
    ring = disc(SIZE, 40, 40, 15) & ~disc(SIZE, 40, 40, 6)
    pieces = disc(SIZE, 80, 70, 6) | disc(SIZE, 95, 75, 5)
    return [ring, disc(SIZE, 40, 40, 4), pieces, *(blob(SIZE, random) for _ in range(6))]


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    picture = Samples(np.random.default_rng(1).integers(0, 999, (*SIZE, 2)).astype(np.uint16))
    rules = resolve_rules("none", {"groups": {"count": 2, "names": [EVIL, "groß"]}, "nesting": {"threshold": 0.9}})
    scores = [0.9 - 0.01 * index for index in range(9)]
    return analyze(mask_set(*drawn()), rules=rules, scale=read_scale(0.65, "um"), picture=picture, predicted_iou=scores)


@pytest.fixture(scope="module")
def source() -> Source:
    return Source("../=evil.png", np.full((*SIZE, 3), 90, np.uint8), {"model": "demo"})


def pixels(analysis: Analysis, index: int) -> NDArray[np.bool_]:
    return drawn()[int(analysis.sources[index])]


def test_csv(analysis: Analysis, source: Source) -> None:
    data = export(analysis, "csv", source)
    assert data.startswith(b"\xef\xbb\xbf")
    table = pandas.read_csv(io.BytesIO(data))
    objects = analysis.objects()
    assert list(table["id"]) == [one["id"] for one in objects]
    np.testing.assert_allclose(table["area_um2"], [one["measurements"]["area"] for one in objects], rtol=1e-9)
    np.testing.assert_allclose(table["area_px2"], [one["measurements_px"]["area"] for one in objects])
    np.testing.assert_allclose(
        table["intensity_mean_1"], [one["measurements"]["intensity"][1]["mean"] for one in objects], rtol=1e-9
    )
    assert set(table["group"]) == {f"'{EVIL}", "groß"}
    settings = json.loads(table["settings"][0])
    assert settings["rules"] == analysis.rules.to_json()
    assert settings["scale"] == analysis.scale.to_json()


def test_no_cell_is_a_formula(analysis: Analysis, source: Source) -> None:
    for line in export(analysis, "csv", source).decode("utf-8-sig").splitlines():
        assert all(not cell.strip('"').startswith(("=", "+", "@")) for cell in line.split(","))
    book = openpyxl.load_workbook(io.BytesIO(export(analysis, "xlsx", source)))
    for sheet in book:
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" for cell in row)


def test_xlsx(analysis: Analysis, source: Source) -> None:
    book = openpyxl.load_workbook(io.BytesIO(export(analysis, "xlsx", source)))
    assert book.sheetnames == ["objects", "groups", "summary", "histogram", "settings"]
    objects = pandas.read_excel(io.BytesIO(export(analysis, "xlsx", source)), sheet_name="objects")
    areas = [one["measurements"]["area"] for one in analysis.objects()]
    np.testing.assert_allclose(objects["area_um2"], areas)
    assert set(objects["group"]) == {EVIL, "groß"}
    groups = pandas.read_excel(io.BytesIO(export(analysis, "xlsx", source)), sheet_name="groups")
    row = groups[(groups["group"] == "groß") & (groups["measurement"] == "area_um2")].iloc[0]
    assert row["mean"] == pytest.approx(analysis.groups[1].statistics["area"]["mean"])
    histogram = book["histogram"]
    assert histogram._charts
    assert sum(cell.value for cell in histogram["E"][1:]) == len(analysis)
    settings = {row[1]: row[2] for row in book["settings"].iter_rows(values_only=True)}
    assert settings["model"] == "demo"
    assert settings["scale.pixel_size"] == 0.65


def test_several_pictures_in_one_workbook_and_one_coco_file(analysis: Analysis, source: Source) -> None:
    both = [(analysis, source), (analysis, Source("b.png"))]
    objects = pandas.read_excel(io.BytesIO(export_many(both, "xlsx")), sheet_name="objects")
    assert list(objects["picture"].value_counts()) == [9, 9]
    document = json.loads(export_many(both, "coco"))
    assert [one["file_name"] for one in document["images"]] == ["../=evil.png", "b.png"]
    assert len({one["id"] for one in document["annotations"]}) == 18
    with pytest.raises(InvalidRequest):
        export_many(both, "csv")


def test_geojson(analysis: Analysis, source: Source) -> None:
    document = json.loads(export(analysis, "geojson", source))
    assert document["type"] == "FeatureCollection"
    assert len(document["features"]) == len(analysis)
    for index, feature in enumerate(document["features"]):
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        assert geometry.area == pixels(analysis, index).sum()
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["classification"]["name"] == analysis.group_of(index)
        measurements = feature["properties"]["measurements"]
        assert all(isinstance(value, int | float) for value in measurements.values())
        assert measurements["area µm^2"] == pytest.approx(geometry.area * 0.65**2)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools on numpy 2
def test_coco(analysis: Analysis, source: Source, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_bytes(export(analysis, "coco", source))
    coco = COCO(str(tmp_path / "coco.json"))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == len(analysis)
    for index, annotation in enumerate(annotations):
        np.testing.assert_array_equal(coco.annToMask(annotation).astype(bool), pixels(analysis, index))
        assert annotation["area"] == pixels(analysis, index).sum()


def test_yolo(analysis: Analysis, source: Source) -> None:
    filled: list[NDArray[np.bool_]] = []
    for line in export(analysis, "yolo", source).decode().splitlines():
        number, *values = line.split()
        assert int(number) in {0, 1}
        corners = np.array(values, float).reshape(-1, 2)
        assert ((corners >= 0) & (corners <= 1)).all()
        filled.append(_inside(corners * (SIZE[1], SIZE[0])))
    everything = np.any(filled, axis=0)
    for index in range(len(analysis)):
        assert everything[pixels(analysis, index)].all()


def _inside(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    # Pillow fills by centres of pixels, with a frame of its own: draw at 8 times the size and look at the centres.
    image = Image.new("1", (SIZE[1] * 8, SIZE[0] * 8))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in (corners * 8).tolist()], fill=1)
    return np.asarray(image)[4::8, 4::8]


def test_labels(analysis: Analysis, source: Source) -> None:
    expected = np.zeros(SIZE, np.int64)
    for index in range(len(analysis)):
        expected[pixels(analysis, index)] = index + 1
    with tifffile.TiffFile(io.BytesIO(export(analysis, "labels", source))) as file:
        labels = file.asarray()
        assert labels.dtype == np.uint16
        np.testing.assert_array_equal(labels, expected)
        assert json.loads(file.pages[0].description)["rules"] == analysis.rules.to_json()  # type: ignore[union-attr]
        resolution = file.pages[0].tags["XResolution"].value  # type: ignore[union-attr]
        assert 1e4 / (resolution[0] / resolution[1]) == pytest.approx(0.65, rel=1e-6)


def test_more_than_16_bits_of_labels() -> None:
    size = (300, 300)
    single = mask_set(np.ones(size, np.bool_))
    many = analyze(single.take(np.zeros(66_000, np.int64)), rules=resolve_rules("none"))
    labels = tifffile.imread(io.BytesIO(export(many, "labels")))
    assert labels.dtype == np.uint32
    assert labels.max() == 66_000


def test_rois(analysis: Analysis, source: Source, tmp_path: Path) -> None:
    path = tmp_path / "rois.zip"
    path.write_bytes(export(analysis, "rois", source))
    assert zipfile.ZipFile(path).namelist() == [f"{index + 1:04d}.roi" for index in range(len(analysis))]
    rois = roiread(path)
    assert isinstance(rois, list)
    for index, roi in enumerate(rois):
        np.testing.assert_array_equal(_roi_pixels(roi), pixels(analysis, index))


def _roi_pixels(roi: ImagejRoi) -> NDArray[np.bool_]:
    """As ImageJ fills a shape: by the even-odd rule over all outlines."""
    mask = np.zeros(SIZE, np.bool_)
    outlines: Any = roi.coordinates(multi=True)
    for outline in outlines if isinstance(outlines, list) else [outlines]:
        mask ^= _inside(np.asarray(outline, float))
    return mask


def test_overlay(analysis: Analysis, source: Source) -> None:
    image = Image.open(io.BytesIO(export(analysis, "overlay", source)))
    assert image.size == (SIZE[1], SIZE[0])
    assert json.loads(image.text["settings"])["scale"]["unit"] == "µm"  # type: ignore[attr-defined]
    drawn_pixels = np.asarray(image.convert("RGB"))
    assert (drawn_pixels == (255, 255, 255)).all(axis=2).any(), "no scale bar"
    assert {(0, 158, 115), (230, 159, 0)} <= {tuple(one) for one in drawn_pixels.reshape(-1, 3).tolist()}
    plain = analyze(mask_set(*drawn()), rules=resolve_rules("none"))
    unscaled = np.asarray(Image.open(io.BytesIO(export(plain, "overlay", source))))
    assert not (unscaled == (255, 255, 255)).all(axis=2).any()
    with pytest.raises(InvalidRequest):
        export(analysis, "overlay")


def test_the_length_of_a_scale_bar_is_round() -> None:
    assert bar_length(1000, 0.65) == 100
    assert bar_length(1000, 1) == 200
    assert bar_length(333, 0.1) == 5


def test_archive(analysis: Analysis, source: Source) -> None:
    archive = zipfile.ZipFile(io.BytesIO(export(analysis, "archive", source)))
    names = {"csv.csv", "xlsx.xlsx", "geojson.geojson", "coco.json", "yolo.txt", "labels.tif", "rois.zip"}
    assert set(archive.namelist()) == names | {"overlay.png", "settings.json"}
    settings = json.loads(archive.read("settings.json"))
    assert settings["rules"] == analysis.rules.to_json()
    assert settings["classes"] == list(analysis.grouping.names)
    assert archive.read("csv.csv") == export(analysis, "csv", source)


def test_the_same_analysis_gives_the_same_file(analysis: Analysis, source: Source) -> None:
    for name in ("csv", "geojson", "coco", "yolo", "labels", "rois", "overlay"):
        assert export(analysis, name, source) == export(analysis, name, source), name


def test_an_empty_analysis_is_written_in_every_format(source: Source) -> None:
    empty = analyze(mask_set(np.zeros(SIZE, np.bool_)))
    assert len(empty) == 0
    archive = zipfile.ZipFile(io.BytesIO(export(empty, "archive", source)))
    assert len(archive.namelist()) == 9
    columns = pandas.read_csv(io.BytesIO(archive.read("csv.csv"))).columns
    assert set(MEASUREMENTS) <= set(columns.str.replace("_px2?$|_deg$", "", regex=True))
