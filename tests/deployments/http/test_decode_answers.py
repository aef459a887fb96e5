"""`decode` in every answer about a picture, and the picture as the server decoded it."""

import io
import json
from typing import Any

import numpy as np
import pytest
from pictures import LEVELS, TWELVE_BITS, stretched, tiff_of
from PIL import Image
from starlette.testclient import TestClient

LOW, HIGH = (float(value) for value in np.percentile(TWELVE_BITS, (0.1, 99.9)))
GRID = {"points_per_side": 2, "crop_n_layers": 0}
CLICK = {"prompts": [{"points": [[5, 5]]}]}


def post(client: TestClient, path: str, data: bytes, **fields: Any) -> Any:
    return client.post(path, files={"image": ("a.tif", data)}, data={"request": json.dumps(fields)})


def test_every_answer_says_how_the_picture_was_read(client: TestClient) -> None:
    data = tiff_of(TWELVE_BITS)
    expected = {
        "page": 0,
        "channels": [0],
        "scaling": "percentile",
        "low": pytest.approx(LOW),
        "high": pytest.approx(HIGH),
    }
    first = post(client, "/embeddings", data).json()
    assert first["decode"] == expected
    by_id = {"image_id": first["image_id"]}
    assert client.post("/embeddings", json=by_id).json()["decode"] == expected
    for fields in (CLICK, CLICK):  # encoded, then prepared
        assert client.post("/segment", json={**by_id, **fields}).json()["decode"] == expected
    assert post(client, "/segment/auto", data, **GRID).json()["decode"] == expected
    streamed = client.post("/segment/auto", json={**by_id, **GRID, "stream": True}).text.splitlines()
    assert json.loads(streamed[0])["decode"] == expected


def test_channels_with_ranges_of_their_own(client: TestClient) -> None:
    data = tiff_of(np.stack([TWELVE_BITS, TWELVE_BITS * 2]), photometric="minisblack", planarconfig="separate")
    decode = post(client, "/embeddings", data, decode={"channels": [1, 0]}).json()["decode"]
    assert decode["channels"] == [1, 0]
    assert decode["low"] == [pytest.approx(2 * LOW), pytest.approx(LOW)]


def test_eight_bits_are_left_alone(client: TestClient, png: bytes) -> None:
    decode = post(client, "/embeddings", png).json()["decode"]
    assert decode == {"page": 0, "channels": [0, 1, 2], "scaling": None, "low": None, "high": None}


def test_the_picture_as_the_server_decoded_it(client: TestClient) -> None:
    data = tiff_of(TWELVE_BITS, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    image_id = post(client, "/embeddings", data).json()["image_id"]
    preview = client.get(f"/pictures/{image_id}/preview")
    assert preview.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(preview.content)))
    assert np.array_equal(shown[:, :, 0], LEVELS)
    small = Image.open(io.BytesIO(client.get(f"/pictures/{image_id}/preview?side=10").content))
    assert max(small.size) == 10
    about = client.get(f"/pictures/{image_id}").json()
    assert (about["pages"], about["channels"], about["dtype"]) == (1, 1, "uint16")
    assert about["size"] == [23, 37]
    assert about["pixel_size"] == {"x": 0.5, "y": 0.5, "unit": "µm", "source": "imagej"}
    assert about["decode"]["scaling"] == "percentile"
    assert client.get(f"/pictures/{image_id}/preview?side=0").status_code == 422


@pytest.mark.parametrize("path", ["/pictures/abc", "/pictures/abc/preview", "/pictures/a.b", "/pictures/a.b/preview"])
def test_pictures_that_are_not_held(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_image")


def test_a_hot_pixel_changes_nothing(client: TestClient) -> None:
    hot = np.tile(TWELVE_BITS, (2, 2))  # one pixel of more than a thousand
    hot[3, 3] = 65535
    image_id = post(client, "/embeddings", tiff_of(hot)).json()["image_id"]
    shown = np.asarray(Image.open(io.BytesIO(client.get(f"/pictures/{image_id}/preview").content)))
    assert np.array_equal(shown[:, :, 0], stretched(hot))
    assert len(np.unique(shown)) > 150
