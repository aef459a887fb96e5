"""Every `curl` of the documents is run as it stands, and answers what the documents say."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from deployments.http.openapi.answer_models import (
    AutomaticAnswer,
    BackendInfo,
    EmbeddingAnswer,
    Health,
    ModelList,
    PictureAnswer,
    SegmentAnswer,
)
from segmentation.weights.manifest import PROJECT_ROOT

SERVER = "http://127.0.0.1:5000"
BLOCK = re.compile(r"^```(?:sh|bash)\n(curl .*?)^```", re.MULTILINE | re.DOTALL)
MODELS: dict[str, type[BaseModel]] = {
    "/segment": SegmentAnswer,
    "/segment/auto": AutomaticAnswer,
    "/embeddings": EmbeddingAnswer,
    "/backend_info": BackendInfo,
    "/health": Health,
    "/models": ModelList,
    "/pictures/": PictureAnswer,
}
PICTURE = PROJECT_ROOT / "docs" / "images" / "coins.png"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def commands(document: str) -> list[str]:
    return BLOCK.findall((PROJECT_ROOT / document).read_text(encoding="utf-8"))


def address(command: str) -> str:
    found = re.search(rf"{SERVER}(/[a-z_/]*)", command)
    assert found, command
    return found.group(1)


def run(command: str, url: str, folder: Path, image_id: str = "") -> tuple[int, str, bytes]:
    """Status, media type and body that a command gets, next to `coins.png` as the documents have it."""
    for place in (folder, folder / "docs" / "images"):
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(PICTURE, place)
    line = command.replace(SERVER, url).replace("curl ", "curl -sS -D headers.txt ", 1)
    environment = {**os.environ, "IMAGE_ID": image_id}
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    status, *fields = (folder / "headers.txt").read_text().strip().split("\n\n")[-1].splitlines()
    types = [field.split(":", 1)[1].strip() for field in fields if field.lower().startswith("content-type:")]
    return int(status.split()[1]), types[0], done.stdout


def test_every_route_has_a_command() -> None:
    asked = [address(command) for command in commands("docs/api.md")]
    assert {*MODELS, "/embeddings/", "/preview"} <= set(asked)
    assert any("/pictures/$IMAGE_ID/preview" in command for command in commands("docs/api.md"))
    assert [address(command) for command in commands("README.md")] == ["/segment", "/segment"]


@needs_curl
@pytest.mark.parametrize("command", [*commands("docs/api.md"), *commands("README.md")])
def test_the_command_answers_as_documented(command: str, url: str, tmp_path: Path) -> None:
    _, _, held = run(f"curl -F image=@coins.png {SERVER}/embeddings", url, tmp_path)
    if address(command) == "/segment/auto":
        # A whole grid would take a minute here, and SAM's threshold would keep no mask of random weights.
        assert "request={" in command
        cheap = '"points_per_side": 4, "crop_n_layers": 0, "pred_iou_thresh": 0, "stability_score_thresh": 0'
        command = command.replace("request={", f"request={{{cheap}, ")
    status, media_type, body = run(command, url, tmp_path, json.loads(held)["image_id"])
    assert status == 200, body
    if media_type == "application/x-ndjson":
        events = [json.loads(line) for line in body.splitlines()]
        assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
        assert "mask" in {event["event"] for event in events}
    elif media_type == "application/octet-stream":
        assert np.load(tmp_path / "embedding.npy").shape == (1, 256, 8, 8)
    elif media_type == "image/png":
        with Image.open(tmp_path / "preview.png") as preview, Image.open(PICTURE) as picture:
            assert preview.size == picture.size
    else:
        assert media_type == "application/json"
        MODELS[address(command)].model_validate_json(body, strict=True)
