from pathlib import Path

import pytest
import tiny_pair

from segmentation.backends.onnx.files import OnnxPair


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pair.save_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture(scope="session")
def pair(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxPair:
    return tiny_pair.convert(checkpoint, tmp_path_factory.mktemp("onnx"))
