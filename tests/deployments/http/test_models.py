"""Several models behind one edge: each answers as alone, and nothing of one is taken for the other's."""

from collections.abc import Iterator

import pytest
from local_graph import LocalGraph
from localised import localised_sam
from oracle import TINY
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from two_models import two_models

from deployments.http.routes import create_app

PROMPTS = [{"points": [[60, 50]]}, {"box": [20, 30, 150, 100]}]


@pytest.fixture
def other() -> LocalGraph:
    return LocalGraph(localised_sam(seed=5))


@pytest.fixture
def both(graph: LocalGraph, other: LocalGraph) -> Iterator[TestClient]:
    with TestClient(create_app(two_models(graph, other)), raise_server_exceptions=False) as client:
        yield client


def masks(client: TestClient, png: bytes, **fields: object) -> object:
    answer = client.post("/segment", files={"image": png}, data={"request": _json(prompts=PROMPTS, **fields)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def everything(client: TestClient, png: bytes, **fields: object) -> object:
    request = _json(points_per_side=4, crop_n_layers=0, pred_iou_thresh=0.1, stability_score_thresh=0.1, **fields)
    answer = client.post("/segment/auto", files={"image": png}, data={"request": request})
    assert answer.status_code == 200, answer.text
    assert answer.json()["masks"]
    return answer.json()["masks"]


def _json(**fields: object) -> str:
    import json  # noqa: PLC0415

    return json.dumps(fields)


def test_each_model_answers_as_alone(both: TestClient, sam: Sam, png: bytes) -> None:
    with TestClient(create_app(LocalGraph(sam).service)) as first:
        assert masks(both, png) == masks(both, png, model="tiny") == masks(first, png)
        assert everything(both, png) == everything(first, png)
    with TestClient(create_app(LocalGraph(localised_sam(seed=5)).service)) as second:
        assert masks(both, png, model="other") == masks(second, png) != masks(both, png)
        assert everything(both, png, model="other") == everything(second, png)


def test_ids_belong_to_a_model(both: TestClient, png: bytes) -> None:
    ids = {
        model: both.post("/embeddings", files={"image": png}, data={"request": _json(model=model)}).json()
        for model in ("tiny", "other")
    }
    assert ids["tiny"]["image_id"] != ids["other"]["image_id"]
    assert [ids[model]["model_type"] for model in ids] == ["tiny", "other"]
    theirs = ids["other"]["image_id"]
    for body in ({"image_id": theirs}, {"image_id": ids["tiny"]["image_id"], "model": "other"}):
        answer = both.post("/segment", json={**body, "prompts": PROMPTS})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_image")
    assert both.post("/segment", json={"image_id": theirs, "model": "other", "prompts": PROMPTS}).status_code == 200
    assert both.get(f"/embeddings/{theirs}").status_code == 404
    assert both.get(f"/embeddings/{theirs}", params={"model": "other"}).status_code == 200


def test_a_model_that_is_not_offered_names_those_that_are(both: TestClient, png: bytes) -> None:
    for path in ("/segment", "/segment/auto", "/embeddings"):
        fields = {"model": "vit_h", **({"prompts": PROMPTS} if path == "/segment" else {})}
        answer = both.post(path, files={"image": png}, data={"request": _json(**fields)})
        error = answer.json()["errors"][0]
        assert (answer.status_code, error["pointer"]) == (422, "/model")
        assert "it offers tiny, other" in error["message"]
    assert both.get("/embeddings/abc", params={"model": "vit_h"}).status_code == 422


def test_models_are_listed(both: TestClient, other: LocalGraph, png: bytes) -> None:
    first, second = both.get("/models").json()["models"]
    assert (first["name"], first["default"], first["ready"]) == ("tiny", True, True)
    shape = [1, *TINY.embedding_shape]
    assert second == {
        "name": "other", "family": "medsam", "default": False, "ready": True, "image_size": TINY.image_size,
        "embedding_shape": shape, "precision": "fp32", "licence": "MIT",
    }  # fmt: skip
    assert both.get("/backend_info").json()["models"] == ["tiny", "other"]
    other.encoder.replica, kept = None, other.encoder.replica
    assert [model["ready"] for model in both.get("/models").json()["models"]] == [True, False]
    assert both.get("/health").status_code == 200
    other.encoder.replica = kept


def test_a_stream_says_whether_its_model_is_ready(both: TestClient, png: bytes) -> None:
    request = _json(points_per_side=2, crop_n_layers=0, stream=True, model="other")
    answer = both.post("/segment/auto", files={"image": png}, data={"request": request})
    assert '"model_ready": true' in answer.text.splitlines()[0].replace('":true', '": true')
