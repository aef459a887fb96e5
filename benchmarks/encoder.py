"""A picture through SAM's image encoder, 1024 pixels a side: `segment_anything` against each backend and precision.

Contenders, same random weights, pictures and threads, in turn round by round:
    reference     the package's untouched `ImageEncoderViT` in PyTorch, float32.
    onnx P        ONNX Runtime on what `conversion` makes in precision P. CPU only here.
    openvino P    OpenVINO on the same.
    export-R P    runtime R on the reference's plain ONNX export.
    pytorch P     `PyTorchEncoder` in precision P.

Times are seconds a picture, by pictures in one call. The reference gets one picture a call on a CPU: two need 10 GB.
Memory is the highest of a process of its own that opens one contender and encodes two pictures, one after the other.
The reference's time depends on how fast the kernel hands out memory (`effort`): for 16 GB a picture of `vit_b`.
Floors: products with weights, and attention's, at the GEMM rates measured in this run; int8 has the former in int8 and
the latter in float32.
Quality is measured on the weights of `--quality` as the conversion does it, with the number of automatic masks (16
points a side) beside it.

Predictions, written before the first run, on two cores: onnx fp32 2.4 times the reference, int8 5.5 times; int8 needs
half of the reference's memory.

    python -m benchmarks.encoder [--model vit_b] [--device cpu] [--threads 2] [--rounds 3] [--batches 1]
        [--quality demo|none] [--beside zen3]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.encoder_contenders import CHECKPOINT, EXPORT, NAMES, Encode, open_contender, pictures
from benchmarks.encoder_flops import attention_flops, linear_flops
from benchmarks.report import finish, gemm_peak, machine
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import load_manifest
from tests.support.oracle import random_sam

Times = dict[str, dict[str, float]]
"""Median seconds a picture, by contender and by pictures in one call."""

Effort = dict[str, dict[str, float]]
"""What one picture took of the CPUs after a first, by contender: seconds in the program and the kernel; page faults."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder")
    parser.add_argument("--model", default="vit_b")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", default="1", help="pictures in one call, comma separated")
    parser.add_argument("--quality", default=None, help="the model to measure the quality on, or none")
    parser.add_argument("--contenders", default=None, help="comma separated; the reference is always there")
    parser.add_argument("--beside", default="", help="keep the result beside the committed one, with this in its name")
    options = parser.parse_args()
    architecture = load_manifest()[options.model].architecture
    names = list(NAMES[options.device])
    if options.contenders:
        names = ["reference", *(name for name in options.contenders.split(",") if name != "reference")]
    facts = machine(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        _write_files(Path(folder), architecture, names)
        memory = {name: _memory(name, Path(folder), options) for name in names}
        times, effort, errors, load = _measure(names, Path(folder), architecture, options)
    rates = _rates(options, {"fp32", *map(_precision, names)})
    floors = _floors(architecture, rates)
    result = {
        "machine": facts,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "model": options.model,
        "rounds": options.rounds,
        "gflop": {
            "linear": round(linear_flops(architecture) / 1e9),
            "attention": round(attention_flops(architecture) / 1e9),
        },
        "gflops_peak": {name: round(rate, 1) for name, rate in rates.items()},
        "seconds_a_picture": times,
        "effort": effort,
        "times_reference": _ratios(times),
        "floor_s": {name: round(floors[_precision(name)], 3) for name in names if _precision(name) in floors},
        "share_of_floor": {
            name: round(floors[_precision(name)] / min(times[name].values()), 3)
            for name in names
            if _precision(name) in floors
        },
        "open_s": load,
        "peak_mb": memory,
        "peak_of_reference": {name: round(memory[name] / memory["reference"], 3) for name in names},
        "error": errors,
        "quality": _quality(options, names),
    }
    for name in names:
        print(f"{name:14} {times[name]} s a picture, {memory[name]:.0f} MB, error {errors.get(name, 0):.1e}")
    usual = options.model == "vit_b" and options.device == "cpu"
    name = "encoder" if usual else f"encoder_{options.model}_{options.device}"
    finish(f"{name}_{options.beside}" if options.beside else name, result)


def _precision(name: str) -> str:
    return "fp32" if name == "reference" else name.split()[1]


def _ratios(times: Times) -> Times:
    """Of the reference's seconds a picture, its best."""
    best = min(times["reference"].values())
    return {name: {batch: round(best / value, 2) for batch, value in row.items()} for name, row in times.items()}


def _write_files(folder: Path, architecture: Architecture, names: list[str]) -> None:
    """The checkpoint of a random model, and its ONNX encoders; in a process of its own there would be less to write."""
    sam = random_sam(architecture)
    torch.save(sam.state_dict(), folder / CHECKPOINT)
    if any(name.startswith("export-") for name in names):
        side = architecture.image_size
        nothing = torch.zeros(1, 3, side, side)
        torch.onnx.export(
            sam.image_encoder, nothing, str(folder / EXPORT), input_names=["x"], opset_version=17, dynamo=False
        )
    ours = {_precision(name) for name in names if name.startswith(("onnx", "openvino"))}
    precisions = sorted("fp32" if precision == "bf16" else precision for precision in ours)  # bf16 runs fp32's file
    if precisions:
        from conversion.pair import Source, write_pair  # noqa: PLC0415  (not needed on a GPU)
        from segmentation.weights.manifest import ModelSpec  # noqa: PLC0415

        spec = ModelSpec(name="benchmark", architecture=architecture, file=CHECKPOINT)
        for precision in precisions:
            write_pair(spec, Source(sam.state_dict(), "0"), folder, lambda *files: None, precision=precision)


def _measure(
    names: list[str], folder: Path, architecture: Architecture, options: argparse.Namespace
) -> tuple[Times, Effort, dict[str, float], dict[str, float]]:
    """(seconds a picture, effort, error against the reference, seconds to open) of each contender."""
    batches = [int(size) for size in options.batches.split(",")]
    images = pictures(max(batches), architecture)
    contenders: dict[str, Encode] = {}
    opened: dict[str, float] = {}
    for name in names:
        started = time.perf_counter()
        contenders[name] = open_contender(name, folder, architecture, device=options.device, threads=options.threads)
        opened[name] = round(time.perf_counter() - started, 2)
    answers = {name: encode(images[:1]) for name, encode in contenders.items()}
    scale = np.abs(answers["reference"]).max()
    errors = {name: float(f"{np.abs(made - answers['reference']).max() / scale:.1e}") for name, made in answers.items()}
    effort = {name: _effort(encode, images[:1]) for name, encode in contenders.items()}
    seconds: dict[str, dict[int, list[float]]] = {name: {} for name in names}
    for _ in range(options.rounds):
        for name, encode in contenders.items():
            for size in batches if name != "reference" or options.device == "cuda" else [1]:
                started = time.perf_counter()
                encode(images[:size])
                seconds[name].setdefault(size, []).append((time.perf_counter() - started) / size)
    times = {
        name: {str(size): round(statistics.median(values), 4) for size, values in row.items()}
        for name, row in seconds.items()
    }
    return times, effort, errors, opened


def _effort(encode: Encode, images: NDArray[np.uint8]) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    encode(images)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "program_s": round(after.ru_utime - before.ru_utime, 2),
        "kernel_s": round(after.ru_stime - before.ru_stime, 2),
        "page_faults": after.ru_minflt - before.ru_minflt,
    }


def _memory(name: str, folder: Path, options: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.encoder_contenders", name, str(folder), options.model, options.device]
    done = subprocess.run([*command, str(options.threads)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _rates(options: argparse.Namespace, precisions: set[str]) -> dict[str, float]:
    """GFLOP/s of large matrix products, by precision; of those only, since CPUs without units for one take minutes."""
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    kinds = {name: dtype for name, dtype in kinds.items() if name in precisions}
    if options.device == "cuda":
        return {name: _gpu_rate(dtype) for name, dtype in kinds.items()}
    rates = {name: gemm_peak(options.threads, dtype=dtype) for name, dtype in kinds.items()}
    if "int8" not in precisions:
        return rates
    a, b = (torch.randint(-100, 100, (2048, 2048), dtype=torch.int8) for _ in range(2))
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        torch._int_mm(a, b)
        seconds.append(time.perf_counter() - started)
    return {**rates, "int8": 2 * 2048**3 / min(seconds) / 1e9}


def _gpu_rate(dtype: torch.dtype, side: int = 8192, repeats: int = 20) -> float:
    a, b = (torch.randn(side, side, device="cuda", dtype=dtype) for _ in range(2))
    a @ b
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize()
    return 2 * side**3 * repeats / (time.perf_counter() - started) / 1e9


def _floors(architecture: Architecture, rates: dict[str, float]) -> dict[str, float]:
    """Seconds a picture at the measured rates, by precision."""
    linear, attention = linear_flops(architecture) / 1e9, attention_flops(architecture) / 1e9
    floors = {name: (linear + attention) / rate for name, rate in rates.items() if name != "int8"}
    if "int8" in rates:
        floors["int8"] = linear / rates["int8"] + attention / rates["fp32"]
    return floors


def _quality(options: argparse.Namespace, names: list[str]) -> dict[str, object]:
    model = options.quality or ("demo" if options.device == "cpu" else "none")
    if model == "none":
        return {}
    from benchmarks.encoder_quality import quality_of  # noqa: PLC0415  (not needed on a GPU)

    return {"model": model, **quality_of(model, [name for name in names if name != "reference"], options.threads)}


if __name__ == "__main__":
    main()
