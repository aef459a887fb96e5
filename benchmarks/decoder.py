"""64 single-point prompts on one 64x64 embedding, to low-res logits and IoU: the mask decoder of every SAM, in fp32.

Contenders, same random weights, embedding, prompts and threads, in turn round by round:
    reference   `segment_anything`'s prompt encoder and mask decoder in PyTorch, all prompts in one batch.
    stock_onnx  `segment_anything.utils.onnx.SamOnnxModel` exported, prompt by prompt as it must be; its upscaling to
                the picture is cut off, so that it does no more than the others.
    transformers  HF transformers' SAM in PyTorch, all prompts in one batch, where it is installed.
    ours        `OnnxDecoder`, every mask.
    ours_gated  the same with an IoU gate that no mask passes: what rejected candidates of automatic masks cost.

Wall time is what a user waits; CPU time (all threads, user and system) is what a busy neighbour disturbs less. The
floor is our graph's matrix products at the GEMM rate measured in this run.

Predictions, written before the first timed run, on two cores: ours 6 times the reference and 2.5 times the stock
export; gated 9 times the reference; ours at 35 % of the GEMM peak. For transformers, which copies the image per prompt
as the reference does: its time within a quarter of the reference's.

    python -m benchmarks.decoder [--threads 2] [--rounds 3]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.onnx import SamOnnxModel

from benchmarks.report import finish, gemm_peak, machine
from benchmarks.transformers_sam import open_transformers
from conversion.pair import Source, write_pair
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.types import PromptTokens
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import ModelSpec, load_manifest
from tests.support.oracle import random_sam

PROMPTS = 64
NO_MASK_PASSES = 1e9
Answer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(logits [B, 3, 256, 256], predicted IoU [B, 3])."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoder")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    facts = machine(options.threads)
    # vit_b's decoder; the encoder is never run and may be as small as it likes.
    small = {"embed_dim": 32, "num_heads": 2, "depth": 1, "global_attn_indexes": (0,)}
    architecture = replace(load_manifest()["vit_b"].architecture, **small)
    sam = random_sam(architecture)
    rng = np.random.default_rng(0)
    embedding = rng.normal(0, 1, architecture.embedding_shape).astype(np.float32)
    points = rng.uniform(0, architecture.image_size, (PROMPTS, 1, 2)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        decoder = _our_decoder(sam, architecture, Path(folder), options.threads)
        stock = _stock_session(sam, Path(folder), options.threads)
    tokens = PromptTokens(
        np.concatenate([points, np.zeros_like(points)], axis=1), np.tile(np.array([1, -1]), (PROMPTS, 1))
    )
    peak = gemm_peak(options.threads)
    torch.set_num_threads(options.threads)
    contenders: dict[str, Callable[[], Answer]] = {"reference": lambda: _reference(sam, embedding, points)}
    if transformers := open_transformers(sam):
        contenders["transformers"] = lambda: transformers(embedding, points)
    contenders |= {
        "stock_onnx": lambda: _stock(stock, embedding, points),
        "ours": lambda: _ours(decoder, embedding, tokens, -np.inf),
        "ours_gated": lambda: _ours(decoder, embedding, tokens, NO_MASK_PASSES),
    }
    answers = {name: run() for name, run in contenders.items()}
    errors = {
        name: _error(answers[name], answers["reference"])
        for name in contenders
        if name not in ("reference", "ours_gated")
    }
    wall, cpu = _medians(contenders, options.rounds)
    peak = max(peak, gemm_peak(options.threads))
    floors = {"ours": sum(_flops(architecture)) / peak / 1e9, "ours_gated": _flops(architecture)[0] / peak / 1e9}
    for name, seconds in wall.items():
        floor = f", floor {floors[name]:.2f} s" if name in floors else ""
        print(f"{name:12} {seconds:6.2f} s wall, {cpu[name]:6.2f} s CPU{floor}")
    finish(
        "decoder",
        {
            "machine": facts,
            "load_after": round(os.getloadavg()[0], 2),
            "prompts": PROMPTS,
            "rounds": options.rounds,
            "gflops_peak": round(peak, 1),
            "wall_s": _rounded(wall),
            "cpu_s": _rounded(cpu),
            "floor_s": _rounded(floors),
            "times_reference_wall": _rounded({name: wall["reference"] / wall[name] for name in wall}),
            "times_reference_cpu": _rounded({name: cpu["reference"] / cpu[name] for name in cpu}),
            "times_stock_wall": _rounded({name: wall["stock_onnx"] / wall[name] for name in ("ours", "ours_gated")}),
            "times_stock_cpu": _rounded({name: cpu["stock_onnx"] / cpu[name] for name in ("ours", "ours_gated")}),
            "error": {name: float(f"{error:.1e}") for name, error in errors.items()},
        },
    )


def _flops(architecture: Architecture) -> tuple[float, float]:
    """Of all prompts' large matrix products in our graph: (transformer, mask head)."""
    tokens, channels, rows = architecture.embedding_side**2, architecture.prompt_embed_dim, 8 * 7
    # Per prompt: one in the first layer, whose image is shared; four in the second; two in the final attention.
    transformer = 7 * 2 * rows * channels * tokens
    head = 2 * tokens * channels**2 + 2 * 4 * tokens * (channels // 4) * (channels // 2) + 2 * 16 * tokens * 32 * 3
    return PROMPTS * transformer, PROMPTS * head


def _our_decoder(sam: Sam, architecture: Architecture, folder: Path, threads: int) -> OnnxDecoder:
    spec = ModelSpec(name="benchmark", architecture=architecture, file="")
    _, path = write_pair(spec, Source(sam.state_dict(), "0" * 64), folder, lambda encoder, decoder: None)
    return OnnxDecoder(path, architecture, threads=threads)


def _stock_session(sam: Sam, folder: Path, threads: int) -> onnxruntime.InferenceSession:
    """segment-anything's export as its own script makes it, cut at the low-res masks."""
    whole, cut = str(folder / "stock.onnx"), str(folder / "stock_low_res.onnx")
    side = sam.prompt_encoder.mask_input_size[0]
    inputs = {
        "image_embeddings": torch.randn(1, 256, *sam.prompt_encoder.image_embedding_size),
        "point_coords": torch.rand(1, 5, 2) * sam.image_encoder.img_size,
        "point_labels": torch.randint(0, 4, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, side, side),
        "has_mask_input": torch.ones(1),
        "orig_im_size": torch.tensor([1500.0, 2250.0]),
    }
    torch.onnx.export(
        SamOnnxModel(sam, return_single_mask=False),
        tuple(inputs.values()),
        whole,
        input_names=list(inputs),
        output_names=["masks", "iou_predictions", "low_res_masks"],
        dynamic_axes={"point_coords": {1: "points"}, "point_labels": {1: "points"}},
        opset_version=17,
        dynamo=False,
    )
    onnx.utils.extract_model(
        whole, cut, [name for name in inputs if name != "orig_im_size"], ["iou_predictions", "low_res_masks"]
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(cut, options, providers=["CPUExecutionProvider"])


@torch.inference_mode()
def _reference(sam: Sam, embedding: NDArray[np.float32], points: NDArray[np.float32]) -> Answer:
    sparse, dense = sam.prompt_encoder(
        points=(torch.from_numpy(points), torch.ones(points.shape[:2])), boxes=None, masks=None
    )
    logits, iou = sam.mask_decoder(
        image_embeddings=torch.from_numpy(embedding)[None],
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    return logits.numpy(), iou.numpy()


def _stock(
    session: onnxruntime.InferenceSession, embedding: NDArray[np.float32], points: NDArray[np.float32]
) -> Answer:
    side = 4 * embedding.shape[-1]
    shared = {
        "image_embeddings": embedding[None],
        "point_labels": np.array([[1, -1]], np.float32),
        "mask_input": np.zeros((1, 1, side, side), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
    coords = np.concatenate([points, np.zeros_like(points)], axis=1)
    answers = [session.run(None, {**shared, "point_coords": coords[row, None]}) for row in range(len(coords))]
    # The first of the export's four masks is the single mask.
    return np.concatenate([low_res[:, 1:] for _, low_res in answers]), np.concatenate(
        [iou[:, 1:] for iou, _ in answers]
    )


def _ours(decoder: OnnxDecoder, embedding: NDArray[np.float32], tokens: PromptTokens, min_iou: float) -> Answer:
    decoded = decoder.decode(decoder.prepare(embedding), tokens, min_iou=min_iou)
    logits = decoded.logits
    return logits.reshape(-1, 3, *logits.shape[1:]), decoded.predicted_iou


def _medians(contenders: Mapping[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """(wall, CPU) median seconds of each, in turn round by round; the caller has run each once before."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started, worked = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - worked)
    return (
        {name: statistics.median(values) for name, values in wall.items()},
        {name: statistics.median(values) for name, values in cpu.items()},
    )


def _error(ours: Answer, reference: Answer) -> float:
    """The larger of max|a - b| / max|b| of logits and IoU."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, reference, strict=True))


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


if __name__ == "__main__":
    main()
