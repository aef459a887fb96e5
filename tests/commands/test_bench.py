"""`sam-serve bench` tells what it measured, and its last line is JSON."""

import json
from pathlib import Path

import pytest

from commands.bench import Samples, summarise
from commands.main import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["--clients", "2"],
        ["--rate", "10"],
        ["--clients", "1", "--requests", "picture"],
        ["--requests", "everything", "--parameters", '{"points_per_side": 2, "crop_n_layers": 0}'],
    ],
)
def test_loads(arguments: list[str], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.svg"
    assert main(["bench", "--server", url, "--seconds", "1", "--plot", str(plot), *arguments]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["answered"] == told["sent"] >= 1
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]
    assert told["model"] == "tiny"
    assert plot.read_text().count("<circle") == told["answered"]


def test_errors_are_counted_by_code_and_lower_the_share() -> None:
    samples = Samples([(0.0, 10.0), (0.1, 30.0)], seconds=2.0)
    samples.errors["overloaded"] = 2
    told = summarise(samples, slo_ms=20)
    assert (told["sent"], told["within_slo"], told["per_second"]) == (4, 0.25, 1.0)
    assert told["errors"] == {"overloaded": 2}


@pytest.mark.parametrize("arguments", [["--rate", "1", "--clients", "1"], ["--rate", "0"], ["--requests", "all"]])
def test_wrong_use(arguments: list[str]) -> None:
    assert main(["bench", *arguments]) == 2


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--server", "http://127.0.0.1:9"]) == 2
    assert "no server at" in capsys.readouterr().err
