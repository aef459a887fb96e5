"""`POST /analyze` and `GET /analyze/presets`: from the model's masks or given ones to objects, groups and files."""

import asyncio
import io
import json
import zipfile
from typing import Any

import numpy as np
import pandas
import pytest
import tifffile
from drawn_masks import disc
from local_graph import LocalGraph
from starlette.testclient import TestClient

from analysis import PRESETS, resolve_rules
from deployments.calls.analysis_messages import AnalysisJob
from deployments.calls.messages import PictureFile
from deployments.http.openapi.analysis_answers import AnalysisAnswerModel, PresetsAnswer
from deployments.replicas.analyzer import MaskAnalyzer
from segmentation.masks.formats import segmentation_value
from segmentation.masks.rle import encode

GRID = {"points_per_side": 6, "crop_n_layers": 0, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.3}
SIZE = (120, 200)
DISCS = [disc(SIZE, 30 + 45 * column, 35 + 50 * row, 6 + 12 * row) for column in range(4) for row in range(2)]
MASKS = [segmentation_value(encode(one), "rle") for one in DISCS]


def send(client: TestClient, png: bytes, **request: Any) -> Any:
    return client.post("/analyze", files={"image": ("a.png", png)}, data={"request": json.dumps(request)})


def test_given_masks_are_analysed_without_a_model(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    answer = send(client, png, masks=MASKS, scale={"pixel_size": 0.5, "unit": "um"})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    AnalysisAnswerModel.model_validate(document, strict=True)
    assert len(document["objects"]) == 8
    assert [(group["name"], group["count"]) for group in document["groups"]] == [("small", 4), ("large", 4)]
    assert document["scale"] == {"pixel_size": 0.5, "unit": "µm", "source": "request"}
    assert document["objects"][0]["measurements"]["area"] == DISCS[1].sum() / 4
    assert len(document["objects"][0]["measurements"]["intensity"]) == 3
    assert document["decode"]["page"] == 0
    assert not graph.backend.batches
    assert not graph.grid.calls
    assert not graph.decoder.calls


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
def test_masks_come_back_as_they_went(client: TestClient, png: bytes, mask_format: Any) -> None:
    given = [segmentation_value(encode(one), mask_format) for one in DISCS]
    document = send(client, png, masks=given, mask_format=mask_format, preset="none").json()
    assert sorted(map(str, (one["segmentation"] for one in document["objects"]))) == sorted(map(str, given))


def test_a_cached_picture_with_the_same_parameters_runs_no_model_again(
    client: TestClient, png: bytes, graph: LocalGraph
) -> None:
    first = send(client, png, automatic=GRID).json()
    encoded, decoded = len(graph.backend.batches), graph.grid.calls["decode"]
    assert first["parameters"]["points_per_side"] == 6
    assert first["summary"]["input_masks"] > 0
    request = {"image_id": first["image_id"], "automatic": GRID, "preset": "none"}
    again = client.post("/analyze", json=request).json()
    assert again["summary"]["input_masks"] == first["summary"]["input_masks"] == len(again["objects"])
    assert (len(graph.backend.batches), graph.grid.calls["decode"]) == (encoded, decoded)


def test_the_best_mask_of_each_prompt_is_analysed(client: TestClient, png: bytes) -> None:
    prompts = [{"points": [[50, 50]]}, {"box": [20, 20, 90, 90]}]
    document = send(client, png, prompts=prompts, preset="none").json()
    expected = client.post("/segment", json={"image_id": document["image_id"], "prompts": prompts}).json()
    best = [one["masks"][0] for one in expected["results"]]
    assert len(document["objects"]) == sum(one["area"] > 0 for one in best)
    found = {one["segmentation"]["counts"] for one in document["objects"]}
    assert found == {one["segmentation"]["counts"] for one in best if one["area"]}


def test_a_stream_tells_how_far_it_is(client: TestClient, png: bytes) -> None:
    answer = send(client, png, automatic=GRID, stream=True)
    events = [json.loads(line) for line in answer.text.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert "progress" in kinds
    assert kinds.count("object") == events[-1]["count"]
    plain = send(client, png, automatic=GRID).json()
    assert [one["object"] for one in events if one["event"] == "object"] == plain["objects"]
    assert {*events[0], *events[-1]} - {"event", "count"} == set(plain) - {"objects"}


def test_what_is_wrong_after_a_stream_began_is_its_last_line(client: TestClient, png: bytes) -> None:
    answer = send(client, png, masks=[{"size": [1, 1], "counts": "1"}], stream=True)
    last = json.loads(answer.text.splitlines()[-1])
    assert last["event"] == "error"
    assert last["problem"]["errors"][0]["pointer"] == "/masks/0/size"


def test_a_client_that_leaves_stops_the_analysis(graph: LocalGraph, png: bytes) -> None:
    async def scenario() -> float:
        analyzer = graph.analyzer.replica
        assert isinstance(analyzer, MaskAnalyzer)
        masks = tuple(MASKS[:1] * 60_000)
        job = AnalysisJob("an-id", masks, resolve_rules("none"), "none")
        work = asyncio.create_task(analyzer.analyze(PictureFile(png), job))
        await asyncio.sleep(0.2)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        # The same threads answer the next one soon.
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(2):
            await analyzer.analyze(PictureFile(png), AnalysisJob("an-id", tuple(MASKS), resolve_rules("none"), "none"))
        return loop.time() - started

    assert asyncio.run(scenario()) < 3


def test_files(client: TestClient, png: bytes) -> None:
    table = send(client, png, masks=MASKS, format="csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == 'attachment; filename="csv.csv"'
    assert len(pandas.read_csv(io.BytesIO(table.content))) == 8
    labels = tifffile.imread(io.BytesIO(send(client, png, masks=MASKS, format="labels").content))
    assert labels.max() == 8
    archive = zipfile.ZipFile(io.BytesIO(send(client, png, masks=MASKS, format="archive").content))
    settings = json.loads(archive.read("settings.json"))
    assert settings["model"] == "tiny"
    assert settings["rules"]["background"] == "drop"
    assert len(archive.namelist()) == 9


def test_the_scale_of_the_file(client: TestClient, png: bytes) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros(SIZE, np.uint16) + 7, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    document = send(client, buffer.getvalue(), masks=MASKS, scale="file").json()
    assert document["scale"] == {"pixel_size": pytest.approx(0.25), "unit": "µm", "source": "file"}
    assert document["objects"][0]["measurements"]["intensity"] == [
        {"mean": 7, "std": 0, "min": 7, "max": 7, "median": 7}
    ]
    nothing = send(client, png, masks=MASKS, scale="file")
    assert nothing.status_code == 422
    assert nothing.json()["errors"][0]["pointer"] == "/scale"


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({"masks": MASKS, "prompts": [{"points": [[1, 1]]}]}, "/masks"),
        ({"masks": [segmentation_value(encode(np.ones((3, 3), np.bool_)), "rle")]}, "/masks/0/size"),
        ({"masks": [*MASKS, {"size": list(SIZE), "counts": "zzzz"}]}, "/masks/8/counts"),
        ({"masks": [7]}, "/masks/0"),
        ({"masks": ["not base64"]}, "/masks/0"),
        ({"masks": [[[[[0, 0], [1, 1]]]]]}, "/masks/0/0/0"),
        ({"masks": [[[[[0, 0], [1, "x"], [2, 2]]]]]}, "/masks/0/0/0"),
        ({"scale": {"pixel_size": 0}}, "/scale/pixel_size"),
        ({"scale": {"pixel_size": 1, "unit": "ell"}}, "/scale/unit"),
        ({"scale": {"pixel_size": "1"}}, "/scale/pixel_size"),
        ({"preset": "nothing"}, "/preset"),
        ({"filters": [{"property": "beauty", "min": 1}]}, "/filters/0/property"),
        ({"masks": MASKS, "filters": [{"property": "intensity_mean_9", "min": 1}]}, "/filters/0/property"),
        ({"filters": [{"property": "area"}]}, "/filters/0"),
        ({"filters": [{"property": "area", "min": 2, "max": 1}]}, "/filters/0/min"),
        ({"masks": MASKS, "filters": [{"property": "area", "min": 2, "group": "=huge"}]}, "/filters/0/group"),
        ({"groups": {"count": 0}}, "/groups/count"),
        ({"groups": {"method": "thresholds"}}, "/groups/thresholds"),
        ({"groups": {"names": ["a", "a"]}}, "/groups/names"),
        ({"groups": {"names": ["a\u0000"]}}, "/groups/names/0"),
        ({"duplicates": {"threshold": 2}}, "/duplicates/threshold"),
        ({"automatic": {"points_per_side": 0}}, "/automatic/points_per_side"),
        ({"automatic": {"beauty": 0}}, "/automatic/beauty"),
        ({"stream": True, "format": "csv"}, "/stream"),
        ({"format": "../../etc/passwd"}, "/format"),
        ({"unknown": 1}, "/unknown"),
    ],
)
def test_bad_input_is_named(client: TestClient, png: bytes, request_: dict[str, Any], pointer: str) -> None:
    answer = send(client, png, **request_)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_too_many_masks_are_refused(client: TestClient, png: bytes) -> None:
    answer = send(client, png, masks=[0] * 1_000_000)
    assert answer.status_code == 422
    assert answer.json()["code"] == "limit_exceeded"


def test_odd_input_has_a_defined_result(client: TestClient, png: bytes) -> None:
    empty = segmentation_value(encode(np.zeros(SIZE, np.bool_)), "rle")
    bow_tie = [[[[10, 10], [50, 50], [50, 10], [10, 50]]], [[[40, 20], [60, 20], [60, 40], [40, 40]]]]
    document = send(client, png, masks=[empty, bow_tie], groups={"count": 5}).json()
    assert {"rule": "empty", "count": 1} in document["dropped"]
    assert [group["count"] for group in document["groups"]] == [0, 0, 0, 0, 1]
    assert 700 < document["objects"][0]["measurements"]["area"] < 1200
    nothing = send(client, png, masks=[], preset="cells_in_droplets", format="json").json()
    assert nothing["objects"] == []
    AnalysisAnswerModel.model_validate(nothing, strict=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_answers(client: TestClient, png: bytes, preset: str) -> None:
    document = send(client, png, masks=MASKS, preset=preset).json()
    AnalysisAnswerModel.model_validate(document, strict=True)
    assert document["preset"] == preset
    listed = {one["name"]: one for one in client.get("/analyze/presets").json()["presets"]}
    assert document["rules"] == listed[preset]["rules"]


def test_presets_are_listed(client: TestClient) -> None:
    document = client.get("/analyze/presets").json()
    PresetsAnswer.model_validate(document, strict=True)
    assert document["default"] == "objects"
    assert {one["name"] for one in document["presets"]} == set(PRESETS)


def test_a_picture_of_one_level_is_measured(client: TestClient) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full(SIZE, 4095, np.uint16))
    document = send(client, buffer.getvalue(), masks=MASKS, preset="fluorescent", edge=None, filters=None).json()
    assert len(document["objects"]) == 8
    assert document["objects"][0]["measurements"]["intensity"][0]["std"] == 0
    dark = send(client, buffer.getvalue(), masks=MASKS, preset="fluorescent").json()
    assert {"rule": "group_filters", "count": 4} in dark["dropped"]
