from pathlib import Path

import pytest
import tiny_pair


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pair.save_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pair.save_checkpoint(tmp_path_factory.mktemp("other") / "tiny.pth", seed=1)
