"""`/embeddings`: a picture is sent once, and its embedding is there to be fetched."""

import asyncio
import io
import json
from typing import Any

import numpy as np
from local_graph import LocalGraph
from oracle import TINY
from PIL import Image
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.routes import create_app
from deployments.pipelines.pictures import crop_key
from segmentation.automatic.grid import crop_boxes


def post(client: TestClient, png: bytes) -> dict[str, object]:
    answer = client.post("/embeddings", files={"image": ("a.png", png)})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_an_embedding_is_that_of_segment_anything(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    document = post(client, png)
    assert document["size"] == [120, 200]
    assert document["model_type"] == "tiny"
    answer = client.get(f"/embeddings/{document['image_id']}")
    embedding = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert list(embedding.shape) == document["shape"] == [1, *TINY.embedding_shape]
    predictor = SamPredictor(graph.sam)
    predictor.set_image(np.array(Image.open(io.BytesIO(png))))
    expected = predictor.get_image_embedding().numpy()
    assert np.abs(embedding - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_client_that_has_it_is_not_sent_it_again(client: TestClient, png: bytes) -> None:
    url = f"/embeddings/{post(client, png)['image_id']}"
    etag = client.get(url).headers["etag"]
    for match in (etag, f"W/{etag}", f'"other", W/{etag}', f'"other" ,{etag},"more"', "*", " * "):
        answer = client.get(url, headers={"if-none-match": match})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert answer.headers["cache-control"] == "private, no-cache"
    several = client.get(url, headers=[("if-none-match", '"other"'), ("if-none-match", etag)])
    assert several.status_code == 304
    for match in ('"other"', "", '"a,*,b"', etag.strip('"'), etag.lower() + "x"):
        assert client.get(url, headers={"if-none-match": match}).status_code == 200


def test_an_embedding_is_one_variant_whatever_is_accepted(client: TestClient, png: bytes) -> None:
    url = f"/embeddings/{post(client, png)['image_id']}"
    answers = [client.get(url, headers={"accept-encoding": coding}) for coding in ("gzip", "identity")]
    assert len({answer.headers["etag"] for answer in answers}) == 1
    for answer in answers:
        assert "content-encoding" not in answer.headers
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["cache-control"] == "private, no-cache"


def test_an_evicted_picture_is_unknown_and_can_be_sent_again(sam: Sam, png: bytes) -> None:
    embedding_mb = 4 * np.prod(TINY.embedding_shape) / 1e6
    graph = LocalGraph(sam, {"embedding_cache_mb": 2.5 * (embedding_mb + len(png) / 1e6)})
    with TestClient(create_app(graph.service)) as client:
        ids = [post(client, png + bytes([index]))["image_id"] for index in range(3)]
        assert [client.get(f"/embeddings/{image_id}").status_code for image_id in ids] == [404, 200, 200]
        assert post(client, png + b"\0")["image_id"] == ids[0]
        assert client.get(f"/embeddings/{ids[0]}").status_code == 200


def test_ids_that_are_not_held(client: TestClient) -> None:
    for image_id in ("unknown", "a%20b", "x" * 65, "x%0A"):
        answer = client.get(f"/embeddings/{image_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_image")


def test_what_is_held_of_crops_is_not_given_out(client: TestClient, graph: LocalGraph, png: bytes) -> None:
    request = {"points_per_side": 2, "crop_n_layers": 1, "crop_overlap_ratio": 0.25}
    answer = client.post("/segment/auto", data={"request": json.dumps(request)}, files={"image": png})
    box, _ = crop_boxes((120, 200), 1, 0.25)[1]
    key = crop_key(answer.json()["image_id"], box)
    replica: Any = graph.encoder.replica
    assert asyncio.run(replica.embed(key)).key == key
    assert client.get(f"/embeddings/{key}").status_code == 404
