"""Small requests with large effects, sent to a real server while another client clicks: its clicks do not suffer.

`python -m benchmarks.load_attacks` runs all attacks, and prints a table.
"""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from attacks import COINS
from bystander import resident
from PIL import Image
from real_server import RealServer, serving

from benchmarks.load_attacks import HEAD, attacked, warm_up

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

ATTACKS = ("head without an end", "pipelined, unread", "1,500 idle connections", "unread logits", "JSON: wrong labels",
           "TIFF: overlapping tables", "PNG: 65,535 x 900", "64 prompts of 1,024 points")  # fmt: skip
LEFT_BYTES = 100_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with serving(tmp_path_factory.mktemp("attacked"), {"SAM_MODEL_TYPE": "demo"}) as server:
        warm_up(server, {})
        yield server


@pytest.mark.parametrize("name", ATTACKS)
def test_clicks_do_not_suffer(server: RealServer, name: str) -> None:
    row = attacked(server, name, 1, {})
    assert row.met, f"{HEAD}\n{row.line()}"


def test_large_grids_leave_no_memory_behind(server: RealServer) -> None:
    """63 megapixels, 64 points a side and a crop layer, five times, each with a picture that nobody knows."""
    coins = Image.open(io.BytesIO(COINS)).convert("L").resize((9000, 7000))
    used: list[dict[int, int]] = []
    with server.client() as client:
        client.timeout = 600
        for turn in range(5):
            coins.putpixel((0, 0), turn)
            buffer = io.BytesIO()
            coins.save(buffer, "PNG", compress_level=1)
            form = {"request": '{"points_per_side": 64, "crop_n_layers": 1}'}
            answer = client.post("/segment/auto", files={"image": buffer.getvalue()}, data=form)
            assert answer.status_code == 200, answer.text[:300]
            used.append(resident(server))
    assert used[1].keys() <= used[-1].keys()
    assert max(np.subtract([used[-1][pid] for pid in used[1]], list(used[1].values()))) < LEFT_BYTES
