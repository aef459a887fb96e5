"""`POST /segment`: the masks are SamPredictor's, whichever way the picture and the prompts come."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from answers import assert_same_masks, pixels
from local_graph import LocalGraph
from oracle import TINY
from PIL import Image
from segment_anything import SamPredictor
from starlette.testclient import TestClient

POINTS = {"points": [[60.5, 40], [150, 90]], "labels": [1, 0]}
BOX = {"box": [30, 20.5, 120, 100]}


def send(client: TestClient, png: bytes, **request: Any) -> dict[str, Any]:
    answer = client.post("/segment", files={"image": ("a.png", png)}, data={"request": json.dumps(request)})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture
def predictor(graph: LocalGraph, png: bytes) -> SamPredictor:
    predictor = SamPredictor(graph.sam)
    predictor.set_image(np.array(Image.open(io.BytesIO(png))))
    return predictor


@pytest.mark.parametrize("multimask", [True, False])
def test_masks_and_scores_are_those_of_segment_anything(
    client: TestClient, png: bytes, predictor: SamPredictor, multimask: bool
) -> None:
    document = send(client, png, prompts=[POINTS, BOX, {**POINTS, **BOX}], multimask_output=multimask)
    for prompt, result in zip([POINTS, BOX, {**POINTS, **BOX}], document["results"], strict=True):
        points = np.array(prompt["points"]) if "points" in prompt else None
        labels = np.array(prompt["labels"]) if "labels" in prompt else None
        box = np.array(prompt["box"]) if "box" in prompt else None
        masks, scores, _ = predictor.predict(points, labels, box, multimask_output=multimask)
        best_first = np.argsort(-scores, kind="stable")
        assert len(result["masks"]) == len(masks)
        for ours, index in zip(result["masks"], best_first, strict=True):
            assert np.count_nonzero(pixels(ours) != masks[index]) <= 2
            assert ours["predicted_iou"] == pytest.approx(scores[index], abs=1e-5)


def test_the_numbers_of_a_mask_describe_its_pixels(client: TestClient, png: bytes) -> None:
    document = send(client, png, prompts=[POINTS])
    assert document["size"] == [120, 200]
    for mask in document["results"][0]["masks"]:
        ys, xs = np.nonzero(pixels(mask))
        assert mask["area"] == len(xs) > 0
        assert mask["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        assert 0 <= mask["stability_score"] <= 1


def test_labels_are_foreground_unless_given(client: TestClient, png: bytes) -> None:
    points = [[60, 40], [90, 60]]
    document = send(client, png, prompts=[{"points": points}, {"points": points, "labels": [1, 1]}])
    unlabelled, labelled = (result["masks"] for result in document["results"])
    assert_same_masks(unlabelled, labelled)


def test_form_json_data_uri_and_image_id_give_one_answer(client: TestClient, png: bytes) -> None:
    text = base64.b64encode(png).decode()
    wrapped = base64.encodebytes(png).decode()
    first = send(client, png, prompts=[POINTS])
    images = ({"image": text}, {"image": wrapped}, {"image": f"data:image/png;base64,{text}"})
    for image in (*images, {"image_id": first["image_id"]}):
        answer = client.post("/segment", json={**image, "prompts": [POINTS]}).json()
        assert (answer["image_id"], answer["results"]) == (first["image_id"], first["results"])


def test_a_picture_is_encoded_once(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    first = send(client, png, prompts=[POINTS])
    again = send(client, png, prompts=[BOX])
    client.post("/segment", json={"image_id": first["image_id"], "prompts": [BOX]})
    assert graph.backend.batches == [1]
    assert first["timing_ms"]["encode"] > 0
    assert again["timing_ms"]["encode"] == again["timing_ms"]["decode"] == 0


def test_logits_refine_a_mask_as_in_segment_anything(client: TestClient, png: bytes, predictor: SamPredictor) -> None:
    mask = send(client, png, prompts=[POINTS], return_logits=True)["results"][0]["masks"][0]
    logits = np.load(io.BytesIO(base64.b64decode(mask["logits"])), allow_pickle=False)
    assert (logits.dtype, logits.shape) == (np.dtype("<f4"), (TINY.low_res_side, TINY.low_res_side))
    refined = send(client, png, prompts=[{**POINTS, "mask_input": mask["logits"]}], multimask_output=False)
    expected, scores, _ = predictor.predict(
        np.array(POINTS["points"]), np.array(POINTS["labels"]), mask_input=logits[None], multimask_output=False
    )
    (ours,) = refined["results"][0]["masks"]
    assert np.count_nonzero(pixels(ours) != expected[0]) <= 2
    assert ours["predicted_iou"] == pytest.approx(scores[0], abs=1e-5)
    assert "logits" not in ours


def test_every_mask_format_shows_the_same_mask(client: TestClient, png: bytes) -> None:
    truth = pixels(send(client, png, prompts=[POINTS])["results"][0]["masks"][0])
    drawn = send(client, png, prompts=[POINTS], mask_format="png")["results"][0]["masks"][0]["segmentation"]
    assert (np.array(Image.open(io.BytesIO(base64.b64decode(drawn)))) == 255 * truth).all()
    polygons = send(client, png, prompts=[POINTS], mask_format="polygon")["results"][0]["masks"][0]["segmentation"]
    area = sum(signed_area(ring) for polygon in polygons for ring in polygon)
    assert abs(area) == truth.sum()


def signed_area(ring: list[list[float]]) -> float:
    x, y = np.array(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def test_timing_has_every_stage(client: TestClient, png: bytes) -> None:
    timing = send(client, png, prompts=[POINTS])["timing_ms"]
    assert set(timing) == {"decode", "encode", "prompt", "postprocess", "queue", "total"}
    assert all(value >= 0 for value in timing.values())
    assert timing["total"] >= max(timing["decode"], timing["encode"], timing["prompt"])


def test_an_id_depends_on_the_picture_and_how_it_is_read(client: TestClient, png: bytes) -> None:
    other = png[:-12] + b"\x00\x00\x00\x00tEXt\xa8\x35\x5a\x79" + png[-12:]
    ids = {
        send(client, png, prompts=[POINTS])["image_id"],
        send(client, other, prompts=[POINTS])["image_id"],
        send(client, png, prompts=[POINTS], decode={"channels": [0]})["image_id"],
    }
    assert len(ids) == 3


def test_decode_options_reach_the_decoder(client: TestClient, png: bytes) -> None:
    red = np.array(Image.open(io.BytesIO(png)))[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(red[..., None], 3, axis=2)).save(buffer, "PNG")
    by_option = send(client, png, prompts=[POINTS], decode={"channels": [0]})
    by_hand = send(client, buffer.getvalue(), prompts=[POINTS])
    assert by_option["results"] == by_hand["results"]
    assert by_option["results"] != send(client, png, prompts=[POINTS])["results"]
