"""Hostile JSON: what is no JSON, what is too much of it, and values of the wrong kind in every field."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest

from deployments.http.openapi.examples import DISC

JSON = {"content-type": "application/json"}
HEADER = "{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
SIDE = 32
"""Of the test model's low-res masks."""


def document(**fields: Any) -> bytes:
    return json.dumps({"image": DISC, "prompts": [{"points": [[15, 11]]}], **fields}).encode()


def raw(text: str) -> bytes:
    """A request with this text in the place of the prompts."""
    return document(prompts="HERE").replace(b'"HERE"', text.encode("utf-8", "surrogatepass"))


BODIES: dict[str, tuple[bytes, str]] = {
    "nesting": (b"[" * 1_000_000 + b"]" * 1_000_000, "invalid_json"),
    "nesting of objects": (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "invalid_json"),
    "nesting that json reads": (raw("[" * 500 + "]" * 500), "invalid_request"),
    "NaN": (raw('[{"points": [[NaN, 1]]}]'), "invalid_json"),
    "-Infinity": (raw('[{"box": [-Infinity, 0, 1, 1]}]'), "invalid_json"),
    "1e999": (raw('[{"points": [[1e999, 1]]}]'), "invalid_request"),
    "a million points": (raw('[{"points": [' + ",".join(["[1,1]"] * 1_000_000) + "]}]"), "limit_exceeded"),
    "a million prompts": (raw("[" + ",".join(["{}"] * 1_000_000) + "]"), "limit_exceeded"),
    "a million keys": (b"{" + b",".join(b'"%d":1' % n for n in range(500_000)) + b"}", "limit_exceeded"),
    "a number of a million digits": (raw("9" * 1_000_000), "invalid_json"),
    "a number of 4000 digits": (raw('[{"points": [[' + "9" * 4000 + ", 1]]}]"), "invalid_request"),
    "a key twice": (b'{"image_id": "a", "image_id": "b"}', "invalid_json"),
    "a key twice by escapes": (b'{"image_id": "a", "image\\u005fid": "b"}', "invalid_json"),
    "a lone surrogate in a value": (document(image="\ud800"), "invalid_image"),
    "a lone surrogate in a key": (b'{"\\ud800": 1}', "invalid_request"),
    "a lone surrogate as bytes": (raw('"\ud800"'), "invalid_json"),
    "null characters": (document(image="\0\0\0\0"), "invalid_image"),
    "null bytes": (b"\0" * 1000, "invalid_json"),
    "UTF-16": (document().decode().encode("utf-16"), "invalid_json"),
    "Latin-1": ('{"é": 1}'.encode("latin-1"), "invalid_json"),
    "overlong UTF-8": (b'{"\xc0\xaf": 1}', "invalid_json"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "invalid_json"),
    "two documents": (b"{}{}", "invalid_json"),
    "a comment": (b"{} // x", "invalid_json"),
    "a string alone": (b'"image"', "invalid_request"),
    "a number alone": (b"1", "invalid_request"),
    "null alone": (b"null", "invalid_request"),
    "a list alone": (b"[]", "invalid_request"),
    "nothing": (b"", "invalid_json"),
    "an open string": (b'{"image": "' + b"A" * 1_000_000, "invalid_json"),
    "__proto__": (document(__proto__={"x": 1}), "invalid_request"),
    "a string for a number": (raw('[{"points": [["1", "1"]]}]'), "invalid_request"),
    "a boolean for a number": (raw('[{"points": [[true, false]]}]'), "invalid_request"),
    "a boolean for a label": (raw('[{"points": [[1, 1]], "labels": [true]}]'), "invalid_request"),
    "a float for a label": (raw('[{"points": [[1, 1]], "labels": [1.5]}]'), "invalid_request"),
    "a label of 2**70": (raw(f'[{{"points": [[1, 1]], "labels": [{2**70}]}}]'), "invalid_request"),
    "a label of -1": (raw('[{"points": [[1, 1]], "labels": [-1]}]'), "invalid_request"),
    "a point of 1e308": (raw('[{"points": [[1e308, -1e308]]}]'), "invalid_request"),
    "a point just beyond": (raw('[{"points": [[33.0001, 1]]}]'), "invalid_request"),
    "a box of 1e308": (raw('[{"box": [-1e308, -1e308, 1e308, 1e308]}]'), "ok"),
    "a box of nothing": (raw('[{"box": [5, 5, 5, 5]}]'), "invalid_request"),
    "a number for a boolean": (document(return_logits=1), "invalid_request"),
    "a string for a boolean": (document(multimask_output="false"), "invalid_request"),
    "an object for a list": (raw('{"0": {"points": [[1, 1]]}}'), "invalid_request"),
    "no such format": (document(mask_format="../../etc/passwd"), "invalid_request"),
    "a page of 2**70": (document(decode={"page": 2**70}), "invalid_request"),
    "a page of -1": (document(decode={"page": -1}), "invalid_request"),
    "channels of 2**70": (document(decode={"channels": [2**70]}), "invalid_request"),
    "no channels": (document(decode={"channels": []}), "invalid_request"),
    "a million channels": (document(decode={"channels": [0] * 1_000_000}), "limit_exceeded"),
    "a range of 1e308": (document(decode={"scaling": "range", "range": [-1e308, 1e308]}), "ok"),
    "a range of 5e-324": (document(decode={"scaling": "range", "range": [0, 5e-324]}), "ok"),
    "base64 that breaks off": (document(image=DISC[:-45]), "invalid_image"),
    "base64 of another alphabet": (document(image="_-_-"), "invalid_image"),
    "base64 with something between": (document(image="AAAA*AAAA"), "invalid_image"),
    "base64 of padding only": (document(image="===="), "invalid_image"),
    "base64 of other scripts": (document(image="\uff21\uff21\uff21\uff21"), "invalid_image"),
    "a data URI of nothing": (document(image="data:;base64,"), "invalid_image"),
    "a data URI without a comma": (document(image="data:image/png;base64"), "invalid_image"),
    "a data URI in a data URI": (document(image="data:a;base64,data:a;base64,AAAA"), "invalid_image"),
    "a data URI with 1 MB of parameters": (document(image="data:" + ";a" * 500_000 + ",AAAA"), "invalid_image"),
    "an address": (document(image="http://169.254.169.254/latest/meta-data"), "invalid_image"),
    "a file's address": (document(image="file:///etc/passwd"), "invalid_image"),
    "an address to fetch": (document(image=None, image_url="http://169.254.169.254/latest/meta-data"), "forbidden"),
    "a file's address to fetch": (document(image=None, image_url="file:///etc/passwd"), "invalid_request"),
    "an address with a line end": (document(image=None, image_url="http://a/\r\nX: y"), "invalid_request"),
    "an address of 1 MB": (document(image=None, image_url="http://a/" + "a" * 1_000_000), "invalid_request"),
    "an address and a picture": (document(image_url="http://a/"), "invalid_request"),
    "an id that climbs": (json.dumps({"image_id": "../../x", "prompts": [{}]}).encode(), "invalid_request"),
    "an id of other scripts": (json.dumps({"image_id": "\uff41", "prompts": [{}]}).encode(), "invalid_request"),
    "an id and a line end": (json.dumps({"image_id": "abc\n", "prompts": [{}]}).encode(), "invalid_request"),
    "an id of 1 MB": (json.dumps({"image_id": "a" * 1_000_000, "prompts": [{}]}).encode(), "invalid_request"),
    "an id that is not held": (document(image=None, image_id="abc"), "unknown_image"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_hostile_json_has_its_problem(send: Callable[..., str], name: str) -> None:
    body, expected = BODIES[name]
    assert send("/segment", content=body, headers=JSON) == expected


def npy(shape: str, dtype: str = "<f4", fortran: bool = False, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """A `.npy` whose header says anything."""
    header = HEADER.format(dtype=dtype, fortran=fortran, shape=shape).encode()
    length = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + length + header + data


def saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


ZEROS = bytes(SIDE * SIDE * 4)
GOOD = f"({SIDE}, {SIDE})"
ARRAYS: dict[str, tuple[bytes, str]] = {
    "as it should be": (npy(GOOD, data=ZEROS), "ok"),
    "fortran order": (npy(GOOD, fortran=True, data=ZEROS), "ok"),
    "version 2": (npy(GOOD, data=ZEROS, version=b"\2\0"), "ok"),
    "version 3": (npy(GOOD, data=ZEROS, version=b"\3\0"), "invalid_request"),
    "doubles": (saved(np.zeros((SIDE, SIDE))), "invalid_request"),
    "big-endian": (saved(np.zeros((SIDE, SIDE), ">f4")), "invalid_request"),
    "objects": (saved(np.array([[{}]], object)), "invalid_request"),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'id'\ntR.", "invalid_request"),
    "a zip of arrays": (b"PK\x03\x04" + bytes(100), "invalid_request"),
    "a shape of 2**60": (npy(f"({2**60}, {SIDE})"), "invalid_request"),
    "a shape that lies": (npy(GOOD), "invalid_request"),
    "bytes after the end": (npy(GOOD, data=ZEROS + b"\0"), "invalid_request"),
    "negative sides": (npy(f"(-{SIDE}, -{SIDE})", data=ZEROS), "invalid_request"),
    "a side of True": (npy("(True, True)", data=bytes(4)), "invalid_request"),
    "no shape": (npy("()", data=bytes(4)), "invalid_request"),
    "code in the header": (npy("__import__('os').system('id')"), "invalid_request"),
    "a header that nests": (npy("(" * 400 + ")" * 400), "invalid_request"),
    "a header of 64 KB": (npy(GOOD + " " * 60_000, data=ZEROS), "invalid_request"),
    "a structured type": (saved(np.zeros((SIDE, SIDE), [("a", "<f4")])), "invalid_request"),
    "a null byte in the type": (npy(GOOD, dtype="<f4\0", data=ZEROS), "invalid_request"),
    "a header of other bytes": (b"\x93NUMPY\1\0\x10\0" + b"\xff" * 16, "invalid_request"),
    "a header that stays open": (npy("((("), "invalid_request"),
    "a header whose text stays open": (npy("(1, '''"), "invalid_request"),
    "no header": (b"\x93NUMPY\1\0", "invalid_request"),
    "nothing": (b"", "invalid_request"),
    "infinity": (saved(np.full((SIDE, SIDE), np.inf, np.float32)), "invalid_request"),
    "large numbers": (saved(np.full((SIDE, SIDE), 3e38, np.float32)), "invalid_request"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_hostile_array_has_its_problem(send: Callable[..., str], name: str) -> None:
    data, expected = ARRAYS[name]
    prompt = {"points": [[15, 11]], "mask_input": base64.b64encode(data).decode()}
    assert send("/segment", content=document(prompts=[prompt]), headers=JSON) == expected


PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "a side of 0": ({"points_per_side": 0}, "invalid_request"),
    "a side of 2**70": ({"points_per_side": 2**70}, "limit_exceeded"),
    "a side of -(2**70)": ({"points_per_side": -(2**70)}, "invalid_request"),
    "a batch of 2**70": ({"points_per_batch": 2**70}, "ok"),
    "layers of 2**70": ({"crop_n_layers": 2**70}, "limit_exceeded"),
    "a factor of 2**70": ({"crop_n_layers": 1, "crop_n_points_downscale_factor": 2**70}, "ok"),
    "an overlap of 1e308": ({"crop_n_layers": 1, "crop_overlap_ratio": 1e308}, "invalid_request"),
    "an offset of 1e308": ({"stability_score_offset": 1e308}, "ok"),
    "a region of 1e308": ({"min_mask_region_area": 1e308}, "ok"),
    "an area of 2**70": ({"min_mask_area": 2**70}, "ok"),
    "a grid of nothing": ({"point_grids": []}, "invalid_request"),
    "a grid of empty layers": ({"point_grids": [[]], "crop_n_layers": 0}, "ok"),
    "a grid of half a million": ({"point_grids": [[[0.5, 0.5]] * 500_000], "crop_n_layers": 0}, "limit_exceeded"),
    "a million layers": ({"point_grids": [[]] * 1_000_000}, "limit_exceeded"),
    "a mode of a string": ({"performance_mode": "true"}, "invalid_request"),
    "SAM's output_mode": ({"output_mode": "binary_mask"}, "invalid_request"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_hostile_parameter_has_its_problem(send: Callable[..., str], name: str) -> None:
    fields, expected = PARAMETERS[name]
    sides = {} if "point_grids" in fields else {"points_per_side": 2}
    request = {"image": DISC, "crop_n_layers": 0, "pred_iou_thresh": 0, **sides, **fields}
    assert send("/segment/auto", json=request) == expected


@pytest.mark.parametrize(
    ("image_id", "code"),
    [
        ("a" * 10_000, "unknown_image"),
        ("%00", "unknown_image"),
        ("%ff%fe", "unknown_image"),
        ("%ed%a0%80", "unknown_image"),
        ("%2e%2e%2fhealth", "not_found"),
        ("..%2f..%2fetc%2fpasswd", "not_found"),
        ("😀", "unknown_image"),
        ("a%0d%0aset-cookie:x", "unknown_image"),
        ("", "not_found"),
        ("<script>", "unknown_image"),
    ],
)
def test_an_address_with_a_hostile_id(server: httpx2.Client, image_id: str, code: str) -> None:
    answer = server.get(f"/embeddings/{image_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert "script" not in answer.text
