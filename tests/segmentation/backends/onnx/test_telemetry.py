"""The runtimes report nothing: a process that opens a model on both leaves no identifier in the home folder."""

import os
import subprocess
import sys
from pathlib import Path

from segmentation.weights.manifest import PROJECT_ROOT

PROGRAM = """
from pathlib import Path
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.openvino_encoder import OpenVinoEncoder
from segmentation.weights.manifest import load_manifest
architecture = load_manifest()["demo"].architecture
folder = Path("model/onnx")
OpenVinoEncoder(folder / "sam_demo_encoder.onnx", architecture)
OnnxDecoder(folder / "sam_demo_decoder.onnx", architecture)
import openvino.tools.ovc
assert "stub" in openvino.tools.ovc.telemetry_utils.tm.__name__, openvino.tools.ovc.telemetry_utils.tm
"""


def test_no_runtime_leaves_an_identifier_of_the_user(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    numba_cache = environment.get("NUMBA_CACHE_DIR", str(PROJECT_ROOT))
    environment |= {"HOME": str(tmp_path), "NUMBA_CACHE_DIR": numba_cache}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in {".nbi", ".nbc"}] == []
