"""Label Studio itself: a project, a picture, the backend connected, what a user draws, and predictions of its API."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import requests
from common import BOX, POINT, job
from label_studio_sdk.converter.brush import decode_rle, encode_rle

PORT = 5185
TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image" model="MODEL"><Label value="Coin"/></BrushLabels>
<KeyPointLabels name="key" toName="image"><Label value="Coin" smart="true"/></KeyPointLabels>
<RectangleLabels name="box" toName="image"><Label value="Coin" smart="true"/></RectangleLabels></View>"""
START_S = 400


class LabelStudio:
    """Its API, as its own page calls it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Token {TOKEN}"

    def call(self, method: str, path: str, **sent: Any) -> Any:
        answer = self._session.request(method, self._url + path, timeout=300, **sent)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json() if answer.content else None

    def is_up(self) -> bool:
        try:
            return self._session.get(f"{self._url}/health", timeout=5).ok
        except requests.RequestException:
            return False


def main() -> None:
    asked = job()
    url = f"http://127.0.0.1:{PORT}"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "LABEL_STUDIO_HOST": url,
            "LABEL_STUDIO_BASE_DATA_DIR": folder,
            "LABEL_STUDIO_USERNAME": "tester@example.org",
            "LABEL_STUDIO_PASSWORD": "for-this-test-only",
            "LABEL_STUDIO_USER_TOKEN": TOKEN,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "ML_TIMEOUT_HEALTH": "30",
            "ML_TIMEOUT_SETUP": "60",
            # Both, where the backend has a private address: the second for the webhook that Label Studio adds itself.
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
        }
        command = [str(Path(sys.executable).with_name("label-studio")), "start", "--no-browser", "--port", str(PORT)]
        log = Path(folder) / "log"
        with log.open("w") as output:
            server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            studio = LabelStudio(url)
            deadline = time.monotonic() + START_S
            while not studio.is_up():
                assert server.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, "Label Studio did not start"
                time.sleep(1)
            _ask(asked, studio)
        finally:
            server.terminate()
            server.wait(30)


def _ask(asked: Any, studio: LabelStudio) -> None:
    config = CONFIG.replace("MODEL", asked.model())
    project = studio.call("POST", "/api/projects", json={"title": "coins", "label_config": config})["id"]
    with asked.picture.open("rb") as file:
        studio.call("POST", f"/api/projects/{project}/import", files={"file": ("coins.png", file, "image/png")})
    task = studio.call("GET", f"/api/tasks?project={project}")["tasks"][0]["id"]
    backend: dict[str, Any] = {
        "url": f"{asked.url}/label-studio",
        "project": project,
        "title": "SAM Serve",
        "is_interactive": True,
    }
    if asked.key:
        backend |= {"auth_method": "BASIC_AUTH", "basic_auth_user": "any", "basic_auth_pass": asked.key}
    connected = studio.call("POST", "/api/ml", json=backend)
    width, height = 384, 303
    size = {"original_width": width, "original_height": height, "image_rotation": 0, "is_positive": True}

    def drawn(kind: str, name: str, value: dict[str, float]) -> np.ndarray:
        region = {"type": kind, "from_name": name, "to_name": "image", **size, "value": {**value, kind: ["Coin"]}}
        answer = studio.call(
            "POST",
            f"/api/ml/{connected['id']}/interactive-annotating",
            json={"task": task, "context": {"result": [region]}},
        )
        assert "errors" not in answer, answer
        (found,) = answer["data"]["result"]
        return _mask(found)

    x0, y0, x1, y1 = BOX
    point = drawn("keypointlabels", "key", {"x": 100 * POINT[0] / width, "y": 100 * POINT[1] / height, "width": 0.3})
    box = {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
    }
    boxed = drawn("rectanglelabels", "box", box)
    studio.call(
        "POST",
        f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}",
        json={"selectedItems": {"all": True, "excluded": []}},
    )
    predictions = studio.call("GET", f"/api/predictions?task={task}")
    everything = [_mask(found) for found in predictions[0]["result"]]
    asked.save(point=point, box=boxed, everything=np.array(everything))


def _mask(found: dict[str, Any]) -> np.ndarray:
    """The mask of a brush, by Label Studio's own decoder; its encoder writes what is read again here."""
    rle = found["value"]["rle"]
    pixels = decode_rle(rle)
    assert (decode_rle(encode_rle(pixels)) == pixels).all()
    return pixels.reshape(found["original_height"], found["original_width"], 4)[:, :, 3] > 0


main()
