"""The ONNX Runtime backend: runs the pair that `conversion/` writes. Needs onnxruntime and numpy, no torch.

Opens files that `onnx_files` found whole; does not verify them again.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from segmentation.backends.onnx.session import check_finite, open_session, run_on_device, runtime_info
from segmentation.backends.onnx.upscale import Strip, cut, to_pixel_order
from segmentation.backends.protocol import PreparedImage
from segmentation.types import DecodedMasks, PromptTokens
from segmentation.weights.architecture import Architecture
from segmentation.workers import Workers

IMAGE_TOKENS_PER_RUN = 8192
"""Image tokens (1 KB each) of all prompts in one decoder run on a CPU: more fall out of the cache. With 4096 tokens a
prompt, runs of 2 were measured 10 % faster than runs of 8, and 20 % where no mask passes the gate.
"""

_IMAGE_PARTS = ("image_tokens", "image_keys", "image_values", "image_queries")
_DECODED = ("iou_predictions", "mask_weights", "mask_tokens")
_MULTIMASK_IDS = np.array([1, 2, 3], np.int64)
_SINGLE_MASK_ID = np.array([0], np.int64)
_ALONE = Workers(1)


class OnnxDecoder:
    """The prompt encoder and mask decoder on ONNX Runtime; arguments and errors as `OnnxEncoder`.

    On a CPU several prompts are spread over the threads, each thread with its own; only a single prompt is computed by
    all threads together, which have to wait for each other at every operator, up to its mask head. On a GPU all prompts
    run together.
    """

    def __init__(self, path: Path, architecture: Architecture, *, device: str = "cpu", threads: int = 1) -> None:
        self.architecture = architecture
        self._session = open_session(path, device, threads, spinning=True)
        self.runtime = runtime_info(self._session, "fp32")
        self._threads = threads if self.runtime.device == "cpu" else 1
        self._serial = open_session(path, device, 1) if self._threads > 1 else self._session
        self.workers = Workers(self._threads)
        self._prompts_per_run = max(1, IMAGE_TOKENS_PER_RUN // architecture.embedding_side**2)
        self._unasked = {value.name: _nothing(value) for value in self._session.get_inputs()}

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        """As `DecoderBackend.prepare` describes: the image tokens and their projections in the first layer."""
        side = self.architecture.low_res_side
        no_mask = np.zeros((1, 1, side, side), np.float32)
        return PreparedImage(embedding, self._prepare(self._session, embedding, no_mask, np.zeros(1, np.bool_)))

    def decode(
        self,
        image: PreparedImage,
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        """Masks of a batch of prompts, as `DecoderBackend.decode` describes."""
        mask_ids = _MULTIMASK_IDS if multimask else _SINGLE_MASK_ID
        if self.runtime.device == "cuda" and len(tokens):
            return self._run_on_device(image, tokens, mask_ids, min_iou)
        parts = _parts(len(tokens), self._prompts_per_run, self._threads)
        if len(parts) == 1:
            return self._run(self._session, image, tokens, mask_ids, min_iou, self.workers)

        def run(part: slice) -> DecodedMasks:
            done = self._run(self._serial, image, tokens.take(part), mask_ids, min_iou, _ALONE)
            return DecodedMasks(done.predicted_iou, done.index + np.array([part.start, 0]), done.logits)

        runs = self.workers.map(run, parts)
        side = self.architecture.low_res_side
        return DecodedMasks(
            np.concatenate([np.zeros((0, len(mask_ids)), np.float32), *(done.predicted_iou for done in runs)]),
            np.concatenate([np.zeros((0, 2), np.int64), *(done.index for done in runs)]),
            np.concatenate([np.zeros((0, side, side), np.float32), *(done.logits for done in runs)]),
        )

    def _run(
        self,
        session: onnxruntime.InferenceSession,
        image: PreparedImage,
        tokens: PromptTokens,
        mask_ids: NDArray[np.int64],
        min_iou: float,
        workers: Workers,
    ) -> DecodedMasks:
        """The masks of prompts that are decoded together; strips of their mask heads are shared out over workers."""
        iou, mask_weights, mask_tokens = self._ask(session, _DECODED, self._given(session, image, tokens, mask_ids))
        passing, logits = self._gate(iou, min_iou)
        side = self.architecture.embedding_side

        def upscale(strip: Strip) -> None:
            of_tokens = self._upscale(
                mask_tokens[strip.prompt, strip.first : strip.stop], mask_weights[strip.prompt, passing[strip.prompt]]
            )
            to_pixel_order(of_tokens, side, strip.first, logits[strip.kept])

        workers.map(upscale, cut(passing, side, workers.threads))
        return DecodedMasks(iou, np.argwhere(passing), logits)

    def _run_on_device(
        self, image: PreparedImage, tokens: PromptTokens, mask_ids: NDArray[np.int64], min_iou: float
    ) -> DecodedMasks:
        """The masks of all prompts at once, by two runs whose results in between stay on the device."""
        session, device = self._session, self.runtime.device
        given = {**self._unasked, **self._given(session, image, tokens, mask_ids)}
        scores, mask_weights, mask_tokens = run_on_device(session, device, _DECODED, given)
        iou = scores.numpy()
        passing, logits = self._gate(iou, min_iou)
        side = self.architecture.embedding_side
        if len(logits):
            wanted = {**self._unasked, "upscale_tokens": mask_tokens, "upscale_weights": mask_weights}
            (token_logits,) = run_on_device(session, device, ("token_logits",), wanted)
            kept = token_logits.numpy()[passing]
            check_finite(kept, "a mask's logits")
            to_pixel_order(kept, side, 0, logits)
        return DecodedMasks(iou, np.argwhere(passing), logits)

    def _gate(self, iou: NDArray[np.float32], min_iou: float) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which masks pass, and room for their logits."""
        check_finite(iou, "a predicted IoU")
        passing = iou > np.float32(min_iou)
        side = self.architecture.low_res_side
        return passing, np.empty((np.count_nonzero(passing), side, side), np.float32)

    def _given(
        self,
        session: onnxruntime.InferenceSession,
        image: PreparedImage,
        tokens: PromptTokens,
        mask_ids: NDArray[np.int64],
    ) -> dict[str, NDArray[np.generic]]:
        """Inputs of the graph's part `decode`."""
        work = image.work
        if tokens.mask_input is not None:
            masks = tokens.mask_input[:, None]
            work = self._prepare(session, image.embedding, masks, np.ones(len(masks), np.bool_))
        return {"point_coords": tokens.coords, "point_labels": tokens.labels, "mask_ids": mask_ids, **work}

    def _upscale(self, mask_tokens: NDArray[np.float32], mask_weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [k, n, 16] of the pixels of image tokens [n, C] in masks of one prompt with weights [k, C / 8]."""
        given = {"upscale_tokens": mask_tokens[None], "upscale_weights": mask_weights[None]}
        (of_prompts,) = self._ask(self._serial, ("token_logits",), given)
        check_finite(of_prompts, "a mask's logits")
        logits: NDArray[np.float32] = of_prompts[0]
        return logits

    def _prepare(
        self,
        session: onnxruntime.InferenceSession,
        embedding: NDArray[np.float32],
        masks: NDArray[np.float32],
        has_mask: NDArray[np.bool_],
    ) -> dict[str, NDArray[np.float32]]:
        given = {"image_embedding": embedding[None], "mask_input": masks, "has_mask_input": has_mask}
        made = self._ask(session, [f"prepared_{name}" for name in _IMAGE_PARTS], given)
        return dict(zip(_IMAGE_PARTS, made, strict=True))

    def _ask(
        self,
        session: onnxruntime.InferenceSession,
        outputs: Sequence[str],
        inputs: Mapping[str, NDArray[np.generic]],
    ) -> list[NDArray[np.float32]]:
        """Outputs of one part of the graph; the other parts get nothing, and do nothing."""
        answer: list[NDArray[np.float32]] = session.run(outputs, {**self._unasked, **inputs})
        return answer


def _nothing(value: onnxruntime.NodeArg) -> NDArray[np.generic]:
    """An array that a graph's input takes, with no elements where its shape allows that."""
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
    return np.zeros([size if isinstance(size, int) else 0 for size in value.shape], kinds[value.type])


def _parts(count: int, largest: int, threads: int) -> list[slice]:
    """Cuts `count` prompts into runs of at most `largest`, as many as keep all threads busy to the end."""
    if count < 2:
        return [slice(0, 1)] * count
    runs = -(-count // largest)
    if threads > 1:
        runs = min(count, -(-runs // threads) * threads)
    bounds = [count * run // runs for run in range(runs + 1)]
    return [slice(start, end) for start, end in pairwise(bounds)]
