"""A folder of pictures for batches."""

from pathlib import Path

import pytest
from discs import draw_discs


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures and one damaged one."""
    folder = tmp_path_factory.mktemp("discs")
    for number in range(6):
        draw_discs(folder / f"p{number}.png", number)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder
