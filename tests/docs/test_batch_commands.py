"""The commands of docs/batch.md run as they stand; those that need Ray or a cluster, in tests/batch."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from commands.main import main
from segmentation.weights.manifest import PROJECT_ROOT

DOCUMENT = (PROJECT_ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^sam-serve (.*)$", DOCUMENT, re.MULTILINE)
CHEAP = ["--parameters", '{"points_per_side": 6, "crop_n_layers": 0}']


def command(name: str, *parts: str) -> list[str]:
    """The one that begins so and holds these words."""
    found = [line for line in COMMANDS if line.startswith(name) and all(part in line for part in parts)]
    assert len(found) == 1, found
    return shlex.split(found[0])


def test_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").symlink_to(PROJECT_ROOT / "docs", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert main([*command("everything", "coins.png"), *CHEAP]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "coins.csv", "coins.labels.tif", "coins.overlay.png", "all.xlsx", "all.json",
    }  # fmt: skip


def test_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    slide = np.full((2300, 2300), 60, np.uint8)
    slide[100:2200, 1000:1300] = 200
    tifffile.imwrite("slide.ome.tif", slide, tile=(256, 256))
    assert main([*command("everything", "--tile"), *CHEAP]) == 0
    assert (tmp_path / "out" / "slide.ome.csv").exists()


def test_bench(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given = [url if part.startswith("http") else part for part in command("bench")]
    assert main([*given, "--seconds", "1"]) == 0
    assert '"slo_ms": 300' in capsys.readouterr().out


def test_every_command_is_documented() -> None:
    assert {line.split()[0] for line in COMMANDS} == {"everything", "batch", "bench"}
