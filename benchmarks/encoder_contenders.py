"""The image encoders that `benchmarks.encoder` compares, each opened from files alone, as a server would.

Imports a runtime only when one is opened, so that its memory is its own, and so that on a GPU only torch, numpy and
segment_anything (with what these and the model registry need) have to be installed.

    python -m benchmarks.encoder_contenders NAME FOLDER MODEL DEVICE THREADS

opens one, encodes two pictures, one after the other, and prints the highest memory of the process in MB.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import load_manifest

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [B, S, S, 3], whole squares, to embeddings float32 [B, C, h, w]."""

NAMES = {
    "cpu": (
        "reference",
        "onnx fp32",
        "openvino fp32",
        "openvino bf16",
        "openvino int8",
        "onnx int8",
        "pytorch fp32",
        "pytorch bf16",
        "export-onnxruntime fp32",
        "export-openvino fp32",
        "export-openvino bf16",
    ),
    "cuda": ("reference", "pytorch fp32", "pytorch bf16", "pytorch fp16"),
}
CHECKPOINT = "encoder.pth"
EXPORT = "export.onnx"
"""The plain export of the reference by `torch.onnx.export`: what a user would run without this project."""


def open_contender(name: str, folder: Path, architecture: Architecture, *, device: str, threads: int) -> Encode:
    """One encoder from `folder`, which holds the checkpoint and the ONNX files of a model called "benchmark"."""
    if name == "reference":
        return _reference(folder / CHECKPOINT, architecture, device, threads)
    backend, precision = name.split()
    if backend.startswith("export-"):
        return _plain_export(folder / EXPORT, architecture, backend.removeprefix("export-"), precision, threads)
    if backend == "openvino":
        from segmentation.backends.onnx.files import pair_paths  # noqa: PLC0415
        from segmentation.backends.onnx.openvino_encoder import OpenVinoEncoder  # noqa: PLC0415

        path = pair_paths(folder, "benchmark", precision)[0]
        on_openvino = OpenVinoEncoder(path, architecture, threads=threads, precision=precision)
        return lambda images: on_openvino.encode(images, _whole(images))
    if backend == "onnx":
        from segmentation.backends.onnx.encoder import OnnxEncoder  # noqa: PLC0415
        from segmentation.backends.onnx.files import pair_paths  # noqa: PLC0415

        path = pair_paths(folder, "benchmark", precision)[0]
        encoder = OnnxEncoder(path, architecture, device=device, threads=threads, precision=precision)
        return lambda images: encoder.encode(images, _whole(images))
    from segmentation.backends.pytorch.backend import PyTorchEncoder  # noqa: PLC0415

    ours = PyTorchEncoder(folder / CHECKPOINT, architecture, device=device, threads=threads, precision=precision)
    return lambda images: ours.encode(images, _whole(images))


def _plain_export(path: Path, architecture: Architecture, runtime: str, precision: str, threads: int) -> Encode:
    mean, std = (np.array(values, np.float32) for values in (architecture.pixel_mean, architecture.pixel_std))

    def prepared(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(((images - mean) / std).transpose(0, 3, 1, 2), np.float32)

    if runtime == "onnxruntime":
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda images: np.concatenate([session.run(None, {"x": prepared(image[None])})[0] for image in images])
    import openvino  # noqa: PLC0415

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda images: np.concatenate([compiled({"x": prepared(image[None])})[0] for image in images])


def _whole(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.tile(np.array(images.shape[1:3]), (len(images), 1))


def _reference(checkpoint: Path, architecture: Architecture, device: str, threads: int) -> Encode:
    """The untouched package, preprocessing as `Sam.preprocess` does it."""
    import torch  # noqa: PLC0415

    from segmentation.backends.pytorch.sam_module import build_image_encoder  # noqa: PLC0415

    torch.set_num_threads(threads)
    encoder = build_image_encoder(architecture)
    state = torch.load(checkpoint, weights_only=True)
    prefix = "image_encoder."
    encoder.load_state_dict({name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)})
    encoder = encoder.eval().to(device)
    mean = torch.tensor(architecture.pixel_mean, device=device).view(3, 1, 1)
    std = torch.tensor(architecture.pixel_std, device=device).view(3, 1, 1)

    @torch.inference_mode()
    def encode(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
        made: NDArray[np.float32] = encoder((pixels - mean) / std).cpu().numpy()
        return made

    return encode


def peak_mb(device: str) -> float:
    """Highest memory of this process so far, in MB (1,000,000 bytes): of the GPU where one is used."""
    if device == "cuda":
        import torch  # noqa: PLC0415

        return torch.cuda.max_memory_allocated() / 1e6
    # Not `ru_maxrss`: a child starts with its parent's.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) * 1024 / 1e6


def pictures(count: int, architecture: Architecture) -> NDArray[np.uint8]:
    """Blocks with noise on them, uint8 [count, S, S, 3]."""
    rng = np.random.default_rng(0)
    side = architecture.image_size
    blocks = rng.integers(0, 200, (count, side // 32, side // 32, 3)).repeat(32, 1).repeat(32, 2)
    return (blocks + rng.integers(0, 56, (count, side, side, 3))).astype(np.uint8)


def main() -> None:
    name, folder, model, device, threads = sys.argv[1:]
    architecture = load_manifest()[model].architecture
    encode = open_contender(name, Path(folder), architecture, device=device, threads=int(threads))
    for _ in range(2):
        encode(pictures(1, architecture))
    print(round(peak_mb(device)))


if __name__ == "__main__":
    main()
