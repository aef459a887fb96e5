"""A preview is the picture as the model sees it, with what the file holds."""

import io
import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from starlette.testclient import TestClient

PAGES = np.linspace(100, 4000, 3 * 40 * 50).reshape(3, 40, 50).astype(np.uint16)


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def preview(
    client: TestClient, data: bytes, request: str = "{}", query: str = ""
) -> tuple[np.ndarray, dict[str, object]]:
    answer = client.post(f"/preview{query}", files={"image": data}, data={"request": request})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.array(Image.open(io.BytesIO(answer.content))), json.loads(answer.headers["sam-picture"])


def test_sixteen_bits_and_pages_are_shown_as_the_server_reads_them(client: TestClient) -> None:
    data = tiff(PAGES, photometric="minisblack")
    first, holds = preview(client, data)
    assert first.shape == (40, 50, 3)
    assert (holds["pages"], holds["dtype"]) == (3, "uint16")
    last, holds = preview(client, data, json.dumps({"decode": {"page": 2, "scaling": "minmax"}}))
    assert holds["decode"]["page"] == 2  # type: ignore[index]
    assert holds["decode"]["scaling"] == "minmax"  # type: ignore[index]
    assert (last.min(), last.max()) == (0, 255)


def test_names_in_the_file_can_not_break_the_header(client: TestClient, png: bytes) -> None:
    labels = ["<b>\r\nX-Header: y", "\u00e9"]
    data = tiff(PAGES[:2], imagej=True, metadata={"Labels": labels, "axes": "CYX"})
    assert preview(client, data)[1]["dtype"] == "uint16"
    assert preview(client, png)[1]["decode"]["scaling"] is None  # type: ignore[index]


@pytest.mark.parametrize(
    ("files", "request_", "code"),
    [
        ({"image": b"no picture"}, "{}", "invalid_image"),
        ({"image": tiff(PAGES[0])}, '{"decode": {"page": 7}}', "invalid_request"),
    ],
)
def test_what_can_not_be_read_is_a_problem(
    client: TestClient, files: dict[str, bytes], request_: str, code: str
) -> None:
    assert client.post("/preview", files=files, data={"request": request_}).json()["code"] == code


def test_a_preview_is_as_small_as_asked_and_tells_the_size_of_the_picture(client: TestClient) -> None:
    shown, holds = preview(client, tiff(PAGES[0]), query="?side=10")
    assert shown.shape == (8, 10, 3)
    assert holds["size"] == [40, 50]
    assert client.post("/preview?side=8193", files={"image": tiff(PAGES[0])}).status_code == 422


def test_sent_and_held_are_the_same_picture(client: TestClient) -> None:
    data = tiff(PAGES[0])
    image_id = client.post("/embeddings", files={"image": data}).json()["image_id"]
    sent = client.post("/preview", files={"image": data})
    held = client.get(f"/pictures/{image_id}/preview")
    by_id = client.post("/preview", json={"image_id": image_id})
    assert sent.content == held.content == by_id.content
    assert sent.headers["sam-picture"] == held.headers["sam-picture"] == by_id.headers["sam-picture"]
    document = client.get(f"/pictures/{image_id}").json()
    assert document == {"image_id": image_id, **json.loads(sent.headers["sam-picture"])}


def test_a_preview_keeps_nothing(client: TestClient) -> None:
    assert client.post("/preview", json={"image_id": "x"}).json()["code"] == "unknown_image"


def test_more_names_than_a_header_carries_are_left_out(client: TestClient) -> None:
    labels = [f"channel {number} \u00e9" for number in range(500)]
    data = tiff(np.zeros((500, 4, 4), np.uint16), imagej=True, metadata={"Labels": labels, "axes": "CYX"})
    answer = client.post("/preview", files={"image": data})
    assert len(answer.headers["sam-picture"]) < 8_000
    holds = json.loads(answer.headers["sam-picture"])
    assert (holds["channels"], holds["channel_names"]) == (500, [])
