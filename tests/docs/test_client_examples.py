"""Every Python example of docs/client.md runs as it stands."""

import re
import shutil
from pathlib import Path

import pytest

from segmentation.weights.manifest import PROJECT_ROOT

SERVER = "http://127.0.0.1:5000"
DOCUMENT = (PROJECT_ROOT / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
CHEAP = "points_per_side=4, crop_n_layers=0, pred_iou_thresh=0, stability_score_thresh=0"
"""A whole grid would take a minute here, and SAM's threshold would keep no mask of random weights."""


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_example_runs(
    example: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PROJECT_ROOT / "docs" / "images" / "coins.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    code = example.replace(SERVER, url).replace(".everything()", f".everything({CHEAP})")
    code = code.replace(' points"))', f' points"), {CHEAP})')
    exec(compile(code, "docs/client.md", "exec"), {"__name__": "__main__"})
    assert "print(" not in example or capsys.readouterr().out
