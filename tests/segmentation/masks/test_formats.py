import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from segmentation.masks.formats import segmentation_value
from segmentation.masks.rle import encode

MASK = np.random.default_rng(2).random((23, 31)) < 0.3


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("mask", [MASK, np.zeros((5, 4), bool), np.ones((1, 1), bool)])
def test_rle_is_read_by_pycocotools(mask) -> None:
    value = json.loads(json.dumps(segmentation_value(encode(mask), "rle")))
    np.testing.assert_array_equal(coco.decode(value).astype(bool), mask)


@pytest.mark.parametrize("mask", [MASK, np.zeros((5, 4), bool), np.ones((1, 1), bool)])
def test_png_has_one_channel_of_0_and_255(mask) -> None:
    value = segmentation_value(encode(mask), "png")
    with Image.open(io.BytesIO(base64.b64decode(value, validate=True))) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask * 255)


def test_polygon_is_plain_json() -> None:
    square = np.zeros((4, 4), bool)
    square[1:3, 1:3] = True
    value = segmentation_value(encode(square), "polygon")
    assert json.loads(json.dumps(value)) == [[[[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]]]]
    assert segmentation_value(encode(np.zeros((4, 4), bool)), "polygon") == []


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="tiff"):
        segmentation_value(encode(MASK), "tiff")
