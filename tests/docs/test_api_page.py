"""docs/api.md: its tables and snippets are those of the code."""

import re
from dataclasses import asdict

import numpy as np
import pytest

from deployments.calls.npy import to_base64_npy
from segmentation.automatic.generate import PERFORMANCE, QUALITY
from segmentation.masks.formats import segmentation_value
from segmentation.masks.rle import encode
from segmentation.weights.manifest import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "api.md").read_text()
PARAMETER = re.compile(r"^\| `(\w+)` \| (\S+) \| (\S+) \| \S", re.MULTILINE)


def test_the_table_of_parameters_has_both_profiles() -> None:
    rows = {name: (quality, performance) for name, quality, performance in PARAMETER.findall(PAGE)}
    assert set(rows) == set(asdict(QUALITY))
    for name, shown in rows.items():
        for text, profile in zip(shown, (QUALITY, PERFORMANCE), strict=True):
            value = getattr(profile, name)
            if value is None:
                assert text == "none", name
            else:
                assert float(text) == pytest.approx(value, abs=1e-4), name


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_the_python_snippets_read_every_format() -> None:
    snippets: dict[str, object] = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, snippets)
    mask = np.zeros((12, 20), bool)
    mask[2:9, 3:15] = True
    mask[4:6, 5:8] = False
    rle = encode(mask)
    assert np.array_equal(snippets["from_rle"](segmentation_value(rle, "rle")), mask)  # type: ignore[operator]
    assert np.array_equal(snippets["from_png"](segmentation_value(rle, "png")), mask)  # type: ignore[operator]
    assert snippets["from_polygon"](segmentation_value(rle, "polygon")).area == mask.sum()  # type: ignore[operator]
    logits = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert np.array_equal(snippets["from_npy"](to_base64_npy(logits)), logits)  # type: ignore[operator]
