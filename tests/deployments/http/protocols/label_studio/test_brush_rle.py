"""The codec against encodings that label_studio_sdk 2.1.2 wrote, kept in brushes.json, and against itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.http.protocols.label_studio.brush_rle import decode_brush, encode_brush

WRITTEN = json.loads((Path(__file__).parent / "brushes.json").read_text())


def mask_of(written: dict[str, Any]) -> NDArray[np.bool_]:
    height, width = written["size"]
    if written["pixels"] is not None:
        bits = np.unpackbits(np.array(written["pixels"], np.uint8))[: height * width]
        return bits.reshape(height, width).astype(bool)
    mask = np.zeros(height * width, np.bool_)
    mask[written["rows"]] = True
    return mask.reshape(height, width)


@pytest.mark.parametrize("written", WRITTEN)
def test_what_label_studio_wrote_is_read(written: dict[str, Any]) -> None:
    assert (decode_brush(written["rle"], tuple(written["size"])) == mask_of(written)).all()


@pytest.mark.parametrize("written", WRITTEN)
def test_what_is_written_has_label_studios_head_and_is_read_again(written: dict[str, Any]) -> None:
    mask = mask_of(written)
    rle = encode_brush(mask)
    assert rle[:4] == written["rle"][:4]
    assert all(0 <= byte <= 255 for byte in rle)
    assert (decode_brush(rle, mask.shape) == mask).all()
    assert len(rle) <= len(written["rle"])


def test_random_masks_and_long_runs_come_back() -> None:
    random = np.random.default_rng(0)
    for size in ((1, 1), (7, 13), (90, 121)):
        for share in (0.0, 0.02, 0.5, 1.0):
            mask = random.random(size) < share
            assert (decode_brush(encode_brush(mask), size) == mask).all()
    mask = np.zeros((700, 900), np.bool_)
    mask[200:500, :] = True
    assert (decode_brush(encode_brush(mask), (700, 900)) == mask).all()


@pytest.mark.parametrize(
    "rle", [[], [0] * 3, [0] * 40, [255] * 40, [300] * 20, ["a"] * 20, [[1, 2]] * 20, WRITTEN[2]["rle"][:-5]]
)
def test_damaged_encodings_are_refused(rle: list[Any]) -> None:
    with pytest.raises(ValueError, match="rle"):
        decode_brush(rle, (40, 60))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="another size"):
        decode_brush(WRITTEN[2]["rle"], (40, 61))
