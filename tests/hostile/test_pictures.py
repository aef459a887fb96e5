"""Hostile files in the place of a picture, as a form and as base64."""

import base64
import json
from collections.abc import Callable

import hostile_pictures
import pytest

# Pillow warns of damaged metadata and reads the picture all the same: as an error, the warning would hide that.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.mark.parametrize("name", hostile_pictures.CORPUS)
def test_a_hostile_picture_has_its_problem(send: Callable[..., str], name: str) -> None:
    data, expected = hostile_pictures.CORPUS[name]
    assert send("/embeddings", files={"image": ("a.png", data)}) == expected
    assert send("/embeddings", json={"image": base64.b64encode(data).decode()}) == expected


@pytest.mark.parametrize("page", [1, 7, 9_999])
@pytest.mark.parametrize("kind", ["tiff", "GIF", "WebP", "PNG"])
def test_pages_that_are_not_there(send: Callable[..., str], kind: str, page: int) -> None:
    """A TIFF that goes round, and animations of two frames."""
    data = hostile_pictures.circular_tiff() if kind == "tiff" else hostile_pictures.animated(kind, 2)
    request = json.dumps({"decode": {"page": page}})
    found = send("/embeddings", files={"image": ("a", data)}, data={"request": request})
    assert found == ("ok" if page == 1 and kind != "tiff" else "invalid_request")
