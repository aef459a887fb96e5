"""The clients: what each is installed from, how its driver is run, and what its answers must be."""

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
from drivers.common import BOX, POINT
from numpy.typing import NDArray
from PIL import Image
from proxy import Recorder
from pycocotools import mask as coco

POLYGON_IOU = 0.98
Check = Callable[[httpx.Client, bytes, Path, Recorder], str]


@dataclass(frozen=True)
class Client:
    """One client.

    packages: as pip or npm takes them, with versions; the first is the client.
    check: raises AssertionError unless the answers are right; says what they were.
    is_recorded: false for a client that speaks the server's own API.
    """

    name: str
    packages: tuple[str, ...]
    driver: str
    check: Check
    kind: Literal["python", "node"] = "python"
    is_recorded: bool = True

    def installation(self, folder: Path) -> list[list[str]]:
        """The commands that install it, to be run in the folder."""
        if self.kind == "node":
            return [["npm", "install", "--silent", "--no-audit", "--no-fund", *self.packages]]
        uv = shutil.which("uv") or str(Path(__file__).resolve().parents[2] / ".venv" / "tools" / "bin" / "uv")
        return [
            [uv, "venv", "--quiet", "--python", "3.11", "venv"],
            [uv, "pip", "install", "--quiet", "--python", "venv/bin/python", *self.packages],
        ]

    def installed_version(self, folder: Path) -> str:
        """The version of the client that is there."""
        package = self.packages[0].split("==")[0]
        if self.kind == "node":
            name = package[: package.rindex("@")] if package.rindex("@") else package
            return str(json.loads((folder / "node_modules" / name / "package.json").read_text())["version"])
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        done = subprocess.run([str(folder / "venv/bin/python"), "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def command(self, folder: Path, drivers: Path, url: str, picture: Path, out: Path) -> list[str]:
        """The command that runs its driver."""
        key = os.environ.get("SAM_API_KEY", "")
        driver = drivers / self.driver
        if self.kind == "node":
            # Modules are found from the file's own folder.
            copied = folder / self.driver
            shutil.copy(driver, copied)
            return ["node", str(copied), url, str(picture), str(out), key, json.dumps(POINT), json.dumps(BOX)]
        keyed = ["--key", key] if key else []
        return [str(folder / "venv/bin/python"), str(driver), url, str(picture), str(out), *keyed]


def asked_of_segment(own: httpx.Client, picture: bytes, prompt: dict[str, Any]) -> NDArray[np.bool_]:
    """The best mask of `/segment`."""
    form = {"request": json.dumps({"prompts": [prompt]})}
    answer = own.post("/segment", data=form, files={"image": picture})
    answer.raise_for_status()
    return _mask(answer.json()["results"][0]["masks"][0])


def asked_of_auto(own: httpx.Client, picture: bytes, **parameters: Any) -> list[NDArray[np.bool_]]:
    """The masks of `/segment/auto`."""
    answer = own.post("/segment/auto", data={"request": json.dumps(parameters)}, files={"image": picture})
    answer.raise_for_status()
    return [_mask(mask) for mask in answer.json()["masks"]]


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def check_polygons(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """X-AnyLabeling: polygons that cover the masks, and a click that costs no encode the second time."""
    answers = _answers(out)
    point = iou(answers["point"], asked_of_segment(own, picture, {"points": [list(POINT)]}))
    box = iou(answers["box"], asked_of_segment(own, picture, {"box": list(BOX)}))
    assert (answers["again"] == answers["point"]).all()
    expected = asked_of_auto(own, picture)
    everything = _match(answers["everything"], expected)
    assert min(point, box, everything) >= POLYGON_IOU, (point, box, everything)
    return (
        f"IoU by point {point:.4f}, by box {box:.4f}, of {len(expected)} masks of everything at least {everything:.4f}"
    )


def check_roboflow(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """inference-sdk sends the picture as it encodes it itself."""
    sent = [json.loads(body) for body in recorder.bodies]
    seen = base64.b64decode(sent[0]["image"]["value"])
    answers = _answers(out)
    point = asked_of_segment(own, seen, {"points": [list(POINT)]})
    _equal(answers["point"], point)
    _equal(answers["box"], asked_of_segment(own, seen, {"box": list(BOX)}))
    share = iou(answers["point_polygon"], point)
    assert share >= POLYGON_IOU, share
    expected = asked_of_auto(own, seen)
    _equal(answers["everything"], np.array(expected))
    return f"equal by point, by box and {len(expected)} masks of everything; polygon IoU {share:.4f}"


def check_exact(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """Clients that are given exact masks of a point and a box."""
    answers = _answers(out)
    _equal(answers["point"], asked_of_segment(own, picture, {"points": [list(POINT)]}))
    _equal(answers["box"], asked_of_segment(own, picture, {"box": list(BOX)}))
    return "equal by point and by box"


def check_hugging_face(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """huggingface_hub: everything, the best first."""
    expected = asked_of_auto(own, picture)
    found = _answers(out)["everything"]
    assert len(found) == len(expected), (len(found), len(expected))
    assert _match(found, expected) == 1
    return f"{len(expected)} masks of everything are equal"


def check_hugging_face_js(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """@huggingface/inference: everything, and prompts in its parameters."""
    answers = json.loads(out.read_text())
    masks = {
        name: np.array([np.asarray(Image.open(io.BytesIO(base64.b64decode(one["mask"])))) > 0 for one in found])
        for name, found in answers.items()
    }
    expected = asked_of_auto(own, picture)
    assert len(masks["everything"]) == len(expected)
    assert _match(masks["everything"], expected) == 1
    _equal(masks["point"][0], asked_of_segment(own, picture, {"points": [list(POINT)]}))
    _equal(masks["box"][0], asked_of_segment(own, picture, {"box": list(BOX)}))
    return f"equal by point, by box and {len(expected)} masks of everything"


def check_isat(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """ISAT decodes by itself: the embedding is `/embeddings`' own."""
    answers = _answers(out)
    held = own.post("/embeddings", files={"image": picture})
    held.raise_for_status()
    document = held.json()
    array = np.load(io.BytesIO(own.get(f"/embeddings/{document['image_id']}").content))
    assert list(answers["original_size"]) == document["size"]
    difference = float(np.abs(answers["embedding"] - array).max() / np.abs(array).max())
    assert difference <= 1e-6, difference
    point = iou(answers["point"], asked_of_segment(own, picture, {"points": [list(POINT)]}))
    box = iou(answers["box"], asked_of_segment(own, picture, {"box": list(BOX)}))
    assert min(point, box) >= POLYGON_IOU, (point, box)
    says = f"IoU {point:.4f} by point, {box:.4f} by box, by ISAT's own decoder"
    return f"{says}; the embedding differs by at most {difference:.1e}"


def check_label_studio(own: httpx.Client, picture: bytes, out: Path, recorder: Recorder) -> str:
    """Label Studio: brushes by keypoint and by rectangle, and predictions of everything."""
    says = check_exact(own, picture, out, recorder)
    found = _answers(out)["everything"]
    expected = asked_of_auto(own, picture)
    assert len(found) == len(expected), (len(found), len(expected))
    assert _match(found, expected) == 1
    return f"{says}, and {len(expected)} brushes of everything"


def _answers(out: Path) -> dict[str, NDArray[Any]]:
    with np.load(f"{out}.npz") as answers:
        return {name: answers[name] for name in answers.files}


def _match(found: NDArray[np.bool_], expected: list[NDArray[np.bool_]]) -> float:
    """The worst of the best IoUs that each expected mask has with one that was found."""
    return min(max(iou(mask, one) for one in found) for mask in expected)


def _equal(found: NDArray[np.bool_], expected: NDArray[np.bool_]) -> None:
    assert found.shape == expected.shape, (found.shape, expected.shape)
    assert (found == expected).all(), f"{int((found != expected).sum())} pixels differ"


def _mask(mask: dict[str, Any]) -> NDArray[np.bool_]:
    decoded: NDArray[np.bool_] = coco.decode(mask["segmentation"]).astype(bool)
    return decoded


CLIENTS = {
    client.name: client
    for client in (
        Client("x-anylabeling", ("x-anylabeling-cvhub==4.2.1",), "drive_x_anylabeling.py", check_polygons),
        Client("roboflow", ("inference-sdk==1.8.3", "pycocotools"), "drive_roboflow.py", check_roboflow),
        Client(
            "hugging-face", ("huggingface_hub==2.4.0", "pillow", "numpy"), "drive_hugging_face.py", check_hugging_face
        ),
        Client(
            "hugging-face-js",
            ("@huggingface/inference@4.13.30",),
            "drive_hugging_face.mjs",
            check_hugging_face_js,
            "node",
        ),
        Client("label-studio", ("label-studio==1.23.2",), "drive_label_studio.py", check_label_studio),
        Client("cvat", ("cvat-cli==2.80.0", "requests", "numpy"), "drive_cvat.py", check_exact, is_recorded=False),
        Client("isat", ("isat-sam==1.5.2",), "drive_isat.py", check_isat),
        Client("osam", ("osam==0.8.1", "requests"), "drive_osam.py", check_exact),
    )
}
