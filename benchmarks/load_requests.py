"""What load is made of: pictures as clients have them, prompts on them, and grids. Knows no server."""

import io
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.load_client import Client, Request
from benchmarks.pictures import SOURCES, picture
from training.scenes import KINDS, make_scene

SEED = 123_456_789
"""Far from the seeds of training pools, of held-out pictures and of the other benchmarks."""
_BOUNDARY = "a-boundary-that-no-picture-has"


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture's file, and (height, width)."""

    file: bytes
    size: tuple[int, int]


def photos() -> list[Photo]:
    """Eight pictures of one megapixel, as PNG."""
    return [_photo(picture(name), "PNG") for name in SOURCES]


def scenes(count: int, first: int = 0) -> list[Photo]:
    """Small synthetic pictures, all different, as JPEG."""
    return [_photo(make_scene(SEED + first + n, KINDS[n % len(KINDS)]).image, "JPEG") for n in range(count)]


def _photo(pixels: NDArray[np.uint8], kind: str) -> Photo:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=90)
    return Photo(buffer.getvalue(), (pixels.shape[0], pixels.shape[1]))


def point_in(size: tuple[int, int], rng: np.random.Generator) -> list[list[float]]:
    """One point somewhere in a picture, [[x, y]]."""
    x, y = np.round(rng.uniform(0.1, 0.9, 2) * (size[1], size[0]), 1)
    return [[float(x), float(y)]]


def prompt_by_id(image_id: str, size: tuple[int, int], rng: np.random.Generator, path: str = "/segment") -> Request:
    """One point on a picture that the server holds, to three masks."""
    fields = {"image_id": image_id, "prompts": [{"points": point_in(size, rng)}]}
    return Request(path, json.dumps(fields).encode())


def with_file(path: str, photo: Photo, fields: object) -> Request:
    """A form with the picture's file and these fields."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="request"\r\n\r\n{json.dumps(fields)}\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    )
    body = head.encode() + photo.file + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return Request(path, body, f"multipart/form-data; boundary={_BOUNDARY}")


def prompt_by_file(photo: Photo, rng: np.random.Generator) -> Request:
    """One point on a picture that comes along."""
    return with_file("/segment", photo, {"prompts": [{"points": point_in(photo.size, rng)}]})


async def hold(client: Client, photo: Photo) -> str:
    """Has the server hold the picture; its id."""
    answer = await client.send(with_file("/embeddings", photo, {}), keep=True)
    if answer.status != 200:
        raise RuntimeError(f"/embeddings answered {answer.status}: {answer.body[:500]!r}")
    return str(json.loads(answer.body)["image_id"])
