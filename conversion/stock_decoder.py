"""The decoder in segment-anything's own ONNX interface, for browsers and tools that decode embeddings themselves.

The same function as `segment_anything.utils.onnx.SamOnnxModel` with all four masks, in the arrangement of
`conversion.decoder_graph`. The server itself does not run it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper
from segment_anything.modeling import Sam
from segment_anything.utils.onnx import SamOnnxModel

from conversion.decoder_graph import decode_prompts, prepare_image
from conversion.graph import OLD_OPSET, Graph
from conversion.initializers import Embedded
from conversion.mask_head_graph import NUM_MASK_TOKENS, upscale
from conversion.prompt_graph import dense_embeddings, dense_position, point_embeddings
from conversion.verify import TOLERANCE, Finding, relative_error
from conversion.weights import Weights
from segmentation.backends.onnx.files import seal
from segmentation.errors import ConfigurationError
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import ModelSpec

PROMPTS = 20
"""That are compared with the reference."""

OUTPUTS = ("masks", "iou_predictions", "low_res_masks")

Inputs = dict[str, NDArray[np.float32]]


def stock_path(onnx_dir: Path, model_type: str) -> Path:
    """The file of a model."""
    return onnx_dir / f"sam_{model_type}_stock_decoder.onnx"


def write_stock_decoder(
    spec: ModelSpec, state: Mapping[str, torch.Tensor], sam: Sam, source_sha256: str, onnx_dir: Path
) -> tuple[Path, list[Finding]]:
    """Writes the decoder, compares it with `SamOnnxModel`, and puts it in place if it computes the same.

    Returns:
        The file, and the comparisons; where one did not pass, nothing was put in place.

    Raises:
        ConfigurationError: the interface has no place for how this model prepares pictures.
        OSError: the file can't be written.
    """
    if spec.architecture.frame.squash:
        raise ConfigurationError(
            f"segment-anything's decoder interface keeps a picture's proportions, and {spec.name} does not: "
            "it has no stock decoder"
        )
    graph = Graph("stock_decoder", Embedded(), opset=OLD_OPSET)
    build_stock_decoder(graph, Weights(state), spec.architecture)
    model = graph.model()
    helper.set_model_props(model, {"kind": "stock_decoder", "model_type": spec.name, "source_sha256": source_sha256})
    content = model.SerializeToString()
    place = stock_path(onnx_dir, spec.name)
    part = place.with_name(f".{place.name}")
    onnx_dir.mkdir(parents=True, exist_ok=True)
    try:
        part.write_bytes(content + seal(hashlib.sha256(content).hexdigest()))
        findings = list(compare_stock_decoder(part, sam, spec.architecture))
        if all(finding.passed for finding in findings):
            part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return place, findings


def build_stock_decoder(graph: Graph, weights: Weights, architecture: Architecture) -> None:
    """Adds the decoder to an empty graph.

    Inputs, all float32: image_embeddings [1, C, h, w]; point_coords [1, N, 2] in pixels of the input frame and
    point_labels [1, N], a box as two points with labels 2 and 3, and a point with label -1 where there is no box;
    mask_input [1, 1, 4h, 4w] with has_mask_input [1], 0 or 1; orig_im_size [2], the picture's height and width.
    Outputs: masks [1, 4, H, W], logits in the picture's own pixels; iou_predictions [1, 4]; low_res_masks
    [1, 4, 4h, 4w]. The first of the four is SAM's single mask.
    """
    side, low_res, channels = architecture.embedding_side, architecture.low_res_side, architecture.prompt_embed_dim
    embedding = graph.input("image_embeddings", np.float32, [1, channels, side, side])
    coords = graph.input("point_coords", np.float32, [1, "num_points", 2])
    labels = graph.op("Cast", graph.input("point_labels", np.float32, [1, "num_points"]), to=7)
    mask = graph.input("mask_input", np.float32, [1, 1, low_res, low_res])
    has_mask = graph.op("Cast", graph.input("has_mask_input", np.float32, [1]), to=9)
    size = graph.input("orig_im_size", np.float32, [2])

    prompt, decoder = weights.below("prompt_encoder"), weights.below("mask_decoder")
    position = dense_position(graph, prompt, architecture)
    dense = dense_embeddings(graph, mask, has_mask, prompt, architecture)
    image = prepare_image(graph, decoder.below("transformer"), position, embedding, dense, architecture)
    points = point_embeddings(graph, coords, labels, prompt, architecture)
    all_masks = graph.ints(*range(NUM_MASK_TOKENS))
    iou, tokens, mask_weights = decode_prompts(graph, decoder, position, image, points, all_masks, architecture)
    of_tokens = upscale(graph, tokens, mask_weights, decoder.below("output_upscaling"))
    logits = _in_pixel_order(graph, of_tokens, side)
    graph.output(_in_picture(graph, logits, size, architecture), "masks", np.float32, [1, NUM_MASK_TOKENS, "H", "W"])
    graph.output(iou, "iou_predictions", np.float32, [1, NUM_MASK_TOKENS])
    graph.output(logits, "low_res_masks", np.float32, [1, NUM_MASK_TOKENS, low_res, low_res])


def _in_pixel_order(graph: Graph, of_tokens: str, side: int) -> str:
    """Logits of each token's 4x4 pixels, as `upscale` has them, [1, 4, hw, 16] -> [1, 4, 4h, 4w]."""
    split = graph.reshape(of_tokens, 1, NUM_MASK_TOKENS, side, side, 2, 2, 2, 2)
    return graph.reshape(graph.transpose(split, 0, 1, 2, 4, 6, 3, 5, 7), 1, NUM_MASK_TOKENS, 4 * side, 4 * side)


def _in_picture(graph: Graph, logits: str, size: str, architecture: Architecture) -> str:
    """`SamOnnxModel.mask_postprocessing`: upsampled to the input frame, its padding cut off, resized to the picture."""
    side = architecture.image_size
    frame = [1, NUM_MASK_TOKENS, side, side]
    whole = _resize(graph, logits, graph.ints(*frame))
    scale = graph.op("Div", graph.constant(float(side)), graph.op("ReduceMax", size, keepdims=0))
    rounded = graph.op("Floor", graph.add(graph.mul(size, scale), graph.constant(0.5)))
    seen = graph.op("Slice", whole, graph.ints(0, 0), graph.op("Cast", rounded, to=7), graph.ints(2, 3))
    wanted = graph.concat(graph.ints(1, NUM_MASK_TOKENS), graph.op("Cast", size, to=7), axis=0)
    return _resize(graph, seen, wanted)


def _resize(graph: Graph, planes: str, sizes: str) -> str:
    mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.op("Resize", planes, "", "", sizes, **mode)


def compare_stock_decoder(path: Path, sam: Sam, architecture: Architecture) -> Iterator[Finding]:
    """Both decoders on the same embeddings and prompts of every kind; an error is max|a - b| / max|b|."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    reference = SamOnnxModel(sam, return_single_mask=False)
    rng = np.random.default_rng(0)
    for index in range(PROMPTS):
        inputs = _inputs(rng, index, architecture)
        ours = session.run(list(OUTPUTS), inputs)
        with torch.inference_mode():
            theirs = reference(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        for name, mine, exact in zip(OUTPUTS, ours, theirs, strict=True):
            yield Finding(f"{name} of prompt {index}", relative_error(mine, exact.numpy()))


def _inputs(rng: np.random.Generator, index: int, architecture: Architecture) -> Inputs:
    """Points, with a box in every second prompt and a mask in every third, on pictures of any proportions."""
    low_res, side = architecture.low_res_side, architecture.image_size
    count = 1 + index % 5
    coords, labels = rng.uniform(0, side, (count, 2)), rng.integers(0, 2, count)
    box = np.sort(rng.uniform(0, side, (2, 2)), axis=0) if index % 2 else np.zeros((1, 2))
    kinds = [2, 3] if index % 2 else [-1]
    return {
        "image_embeddings": rng.normal(0, 0.2, (1, *architecture.embedding_shape)).astype(np.float32),
        "point_coords": np.concatenate([coords, box])[None].astype(np.float32),
        "point_labels": np.concatenate([labels, kinds])[None].astype(np.float32),
        "mask_input": rng.normal(0, 5, (1, 1, low_res, low_res)).astype(np.float32),
        "has_mask_input": np.array([float(index % 3 == 0)], np.float32),
        "orig_im_size": rng.integers(side // 4, side, 2).astype(np.float32),
    }


def failures(findings: list[Finding]) -> str | None:
    """One line of what differs from the reference, or None."""
    worst = max(findings, key=lambda finding: finding.error)
    if all(finding.passed for finding in findings):
        return None
    return f"the stock decoder differs from SamOnnxModel: {worst.error:.1e} in {worst.what}, above {TOLERANCE:g}"
