"""The check before every start, as the command line has it. Choosing a runtime is in test_select.py."""

from pathlib import Path

import pytest
import tiny_pair

from deployments.preflight import main, missing_extras
from segmentation.errors import ConfigurationError


def test_a_converted_model_needs_no_extra() -> None:
    assert missing_extras({"SAM_MODEL_TYPE": "demo"}) == ()


def test_an_unknown_model_is_named_before_anything_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="unknown model type 'nonsense'"):
        missing_extras({"SAM_MODEL_TYPE": "nonsense"})
    assert main(["--config", "does-not-exist.yaml"]) == 2
    assert capsys.readouterr().out.startswith("error    can't read the Serve config")


def test_a_model_without_a_pair_needs_pytorch_where_it_is_not_installed(tmp_path: Path) -> None:
    tiny_pair.save_checkpoint(tmp_path / "tiny.pth")
    (tmp_path / "manifest.toml").write_text(tiny_pair.MANIFEST)
    variables = {"SAM_MODEL_TYPE": "tiny", "SAM_MODEL_DIR": str(tmp_path), "SAM_ONNX_DIR": str(tmp_path)}
    assert missing_extras(variables) == ()
    assert missing_extras(variables, installed=lambda module: module == "onnxruntime") == ("pytorch",)


def test_the_model_of_the_config_file_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("applications:\n  - args: {model_type: demo}\n")
    assert main(["--config", str(config)]) == 0
    assert "setting  model_type=demo (args)" in capsys.readouterr().out
