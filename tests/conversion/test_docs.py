"""docs/conversion.md is held to the code."""

import re
from pathlib import Path

import onnx
import pytest
import tiny_pair

from conversion import convert_model, convert_to_onnx

DOCUMENT = (Path(__file__).parents[2] / "docs" / "conversion.md").read_text(encoding="utf-8")


def test_every_option_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    for main in (convert_model.main, convert_to_onnx.main):
        with pytest.raises(SystemExit):
            main(["--help"])
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
        assert len(options) >= 3
        assert options <= set(re.findall(r"--[a-z-]+", DOCUMENT))


def test_every_input_output_and_fact_is_documented(checkpoint: Path, tmp_path: Path) -> None:
    pair = tiny_pair.convert(checkpoint, tmp_path, largest_embedded=0)
    for path in (pair.encoder, pair.decoder):
        model = onnx.load(path, load_external_data=False)
        names = {value.name for value in [*model.graph.input, *model.graph.output]}
        names |= {entry.key for entry in model.metadata_props}
        assert {name for name in names if f"`{name}`" not in DOCUMENT} == set()
