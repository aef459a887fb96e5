"""The faster runtime of an ONNX encoder: both compute the same, and the choice is measured once."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tiny_pair
from numpy.typing import NDArray
from oracle import TINY

from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.files import OnnxPair
from segmentation.backends.onnx.openvino_encoder import PROVIDER, OpenVinoEncoder
from segmentation.backends.onnx.runtimes import cpu_name, open_fastest
from segmentation.backends.opening import open_encoder
from segmentation.backends.protocol import RuntimeInfo
from segmentation.backends.select import plan_runtime
from segmentation.errors import ConfigurationError, ModelFileError
from segmentation.settings import RuntimeSettings
from segmentation.weights.architecture import Architecture


@dataclass
class Slow:
    """An encoder that takes as long as it is told, and counts."""

    seconds: float
    architecture: Architecture = TINY
    runtime: RuntimeInfo = field(default_factory=lambda: RuntimeInfo("onnx", "cpu", (), "fp32"))
    runs: int = 0

    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        self.runs += 1
        time.sleep(self.seconds)
        return np.zeros((len(images), *TINY.embedding_shape), np.float32)


def test_openvino_computes_what_onnx_runtime_does(pair: OnnxPair) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, TINY.image_size, TINY.image_size, 3), dtype=np.uint8)
    sizes = np.array([[TINY.image_size, TINY.image_size], [70, TINY.image_size], [1, 1]])
    ours = OpenVinoEncoder(pair.encoder, TINY, threads=2)
    expected = OnnxEncoder(pair.encoder, TINY, threads=2).encode(images, sizes)
    np.testing.assert_allclose(ours.encode(images, sizes), expected, atol=1e-5 * np.abs(expected).max())
    assert ours.encode(images[:0], sizes[:0]).shape == (0, *TINY.embedding_shape)
    assert ours.runtime == RuntimeInfo("onnx", "cpu", (PROVIDER,), "fp32")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match=r"OpenVINO can't load .*broken\.onnx"):
        OpenVinoEncoder(path, TINY)


def test_the_faster_one_is_measured_once_for_a_kind_of_cpu(tmp_path: Path) -> None:
    path = tmp_path / "sam_x_encoder.onnx"
    slow, fast = Slow(0.02), Slow(0.0)
    openers = {"onnxruntime": lambda: slow, "openvino": lambda: fast}
    assert open_fastest(openers, path, source="a", threads=1, cpu="one") is fast
    measured = slow.runs
    assert measured > 1
    assert open_fastest(openers, path, source="a", threads=1, cpu="one") is fast
    assert slow.runs == measured
    open_fastest(openers, path, source="a", threads=1, cpu="another")
    open_fastest(openers, path, source="b", threads=1, cpu="one")
    open_fastest(openers, path, source="a", threads=2, cpu="one")
    assert slow.runs == 4 * measured


def test_a_damaged_record_is_measured_again_and_a_missing_folder_is_no_fault(tmp_path: Path) -> None:
    slow, fast = Slow(0.02), Slow(0.0)
    openers = {"onnxruntime": lambda: slow, "openvino": lambda: fast}
    (tmp_path / "e.runtimes.json").write_text("{")
    assert open_fastest(openers, tmp_path / "e.onnx", source="a", threads=1) is fast
    assert open_fastest(openers, tmp_path / "nowhere" / "e.onnx", source="a", threads=1) is fast


def test_the_setting_decides_or_auto_measures(pair: OnnxPair, tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(tiny_pair.MANIFEST)

    def opened(**values: str) -> tuple[str, ...]:
        settings = RuntimeSettings(
            backend="onnx", model_type="tiny", model_dir=tmp_path, onnx_dir=pair.encoder.parent, **values
        )
        return open_encoder(plan_runtime(settings), device="cpu", threads=1).runtime.providers

    assert opened(onnx_runtime="openvino") == (PROVIDER,)
    assert opened(onnx_runtime="onnxruntime") == ("CPUExecutionProvider",)
    assert opened() in {(PROVIDER,), ("CPUExecutionProvider",)}
    assert list(pair.encoder.parent.glob("*.runtimes.json"))
    with pytest.raises(ConfigurationError, match="openvino is not installed"):
        plan_runtime(
            RuntimeSettings(model_type="demo", onnx_runtime="openvino"), installed=lambda module: module != "openvino"
        )


def test_the_cpu_is_named_by_its_instructions(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: A CPU\nflags\t\t: fpu avx2 fma sse avx512f\n")
    assert cpu_name(cpuinfo) == "A CPU avx2 avx512f fma"
    assert cpu_name(tmp_path / "none") == ""
