"""A server that is told to stop answers what it has let in, and nothing else."""

import json
import signal
import time
from pathlib import Path

import pytest
from real_server import serving

from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PICTURE = PROJECT_ROOT / "docs" / "images" / "coins.png"
PROMPT = {"prompts": [{"points": [[140, 52]]}]}
GRID = {"points_per_side": 32, "crop_n_layers": 1, "stream": True}


def test_what_was_let_in_is_answered_before_the_server_stops(tmp_path: Path) -> None:
    form = {"files": {"image": PICTURE.read_bytes()}}
    with serving(tmp_path, {"SAM_MODEL_TYPE": "demo"}) as server, server.client() as client, server.client() as other:
        while "ready: every application runs" not in server.log.read_text():
            time.sleep(0.2)
        with client.stream("POST", "/segment/auto", data={"request": json.dumps(GRID)}, **form) as grid:
            lines = grid.iter_lines()
            events = [json.loads(next(lines))]
            server.process.send_signal(signal.SIGTERM)
            refused = other.post("/segment", data={"request": json.dumps(PROMPT)}, **form)
            while refused.status_code == 200:
                refused = other.post("/segment", data={"request": json.dumps(PROMPT)}, **form)
            health = other.get("/health")
            events += map(json.loads, lines)
        assert server.process.wait(60) == 0
    for answer in (refused, health):
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert answer.headers["retry-after"]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert "mask" in {event["event"] for event in events}
