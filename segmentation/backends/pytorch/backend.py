"""The PyTorch backend: the weights of the `segment_anything` modules behind the runtime protocol.

The reference that the ONNX backend is held to, and what runs without a conversion. Only this file and what it imports
from this folder (`lean_vit`, `fused_vit` and their kernels, `sam_module`, `weights`) import torch.
"""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import ImageEncoderViT

from segmentation.backends.precision import runs
from segmentation.backends.protocol import PreparedImage, RuntimeInfo
from segmentation.backends.pytorch.lean_vit import LeanViT
from segmentation.backends.pytorch.sam_module import build_image_encoder, build_mask_decoder, build_prompt_encoder
from segmentation.backends.pytorch.tiny_vit import TinyVitRunner
from segmentation.errors import ConfigurationError, NumericalError
from segmentation.types import DecodedMasks, PromptTokens
from segmentation.weights.architecture import Architecture, TinyVitArchitecture, VitArchitecture
from segmentation.weights.tensors import load_into, load_state_dict
from segmentation.workers import Workers

_logger = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_HOST_DTYPES = {"uint8": torch.uint8, "int64": torch.int64}

PROMPTS_PER_RUN = 16
"""The decoder copies the image embedding for every prompt; this bounds the copies."""


class PyTorchEncoder:
    """The image encoder on PyTorch, whatever the checkpoint's dtype.

    Args:
        checkpoint: a verified checkpoint file.
        architecture: of the model in it.
        device: "cpu" or "cuda".
        threads: CPU threads of PyTorch, for the whole process.
        precision: of the matrix products, "fp32", "bf16", or "fp16" on a GPU; all else is fp32.

    Raises:
        ConfigurationError: the device or the precision can't be used.
        ModelFileError: the checkpoint is damaged or of another architecture.
    """

    def __init__(
        self,
        checkpoint: Path,
        architecture: Architecture,
        *,
        device: str = "cpu",
        threads: int = 1,
        precision: str = "fp32",
    ) -> None:
        self.architecture = architecture
        if isinstance(architecture, TinyVitArchitecture) and precision != "fp32":
            raise ConfigurationError(f"a TinyViT encoder is not run in {precision}: set SAM_PRECISION=fp32")
        self.runtime = _runtime_info(device, threads, precision)
        with torch.device("meta"):
            encoder: Any = build_image_encoder(architecture)
        encoder = encoder.to_empty(device=device)
        load_into(encoder, load_state_dict(checkpoint), prefix="image_encoder.", source=str(checkpoint))
        encoder.eval()
        self._encoder = (
            TinyVitRunner(encoder, architecture)
            if isinstance(architecture, TinyVitArchitecture)
            else _open_vit(encoder, architecture, device, _DTYPES[precision])
        )
        self._device = torch.device(device)

    @torch.inference_mode()
    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Image embeddings, as `EncoderBackend.encode` describes; one picture at a time on a CPU.

        Raises:
            NumericalError: an embedding is not finite.
        """
        on_gpu = self.runtime.device == "cuda"
        step = max(len(images), 1) if on_gpu else 1
        embeddings = torch.empty((len(images), *self.architecture.embedding_shape), pin_memory=on_gpu)
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            made = self._encoder(self._send(images[part]), self._send(sizes[part]))
            embeddings[part].copy_(made, non_blocking=True)
            if not made.isfinite().all():  # which waits for the copy
                raise NumericalError("an image embedding is not finite: the weights or the runtime are broken")
        return embeddings.numpy()

    def _send(self, array: NDArray[Any]) -> torch.Tensor:
        """A copy on the device, by way of memory that a GPU reads itself."""
        host = torch.empty(array.shape, dtype=_HOST_DTYPES[array.dtype.name], pin_memory=self.runtime.device == "cuda")
        host.numpy()[...] = array
        return host.to(self._device, non_blocking=True)


def _open_vit(encoder: ImageEncoderViT, architecture: Architecture, device: str, dtype: torch.dtype) -> LeanViT:
    """The form with kernels for GPUs where they run; they need triton, which comes with PyTorch's CUDA builds."""
    assert isinstance(architecture, VitArchitecture)
    _narrow(encoder, dtype)
    if device == "cuda" and dtype != torch.float32 and find_spec("triton") is not None:
        from segmentation.backends.pytorch.fused_vit import FusedViT  # noqa: PLC0415

        if FusedViT.fits(architecture):
            fused = FusedViT(encoder, architecture)
            fault = fused.fault()
            if fault is None:
                return fused
            _logger.warning("the image encoder goes on without its own GPU kernels, which is slower: %s", fault)
    return LeanViT(encoder, architecture)


def _narrow(encoder: torch.nn.Module, dtype: torch.dtype) -> None:
    """Puts the linear layers and the neck's convolutions into the dtype; patches, positions and norms stay fp32."""
    patches = encoder.get_submodule("patch_embed.proj")
    for module in encoder.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and module is not patches:
            module.to(dtype)


class PyTorchDecoder:
    """The prompt encoder and mask decoder on PyTorch; arguments and errors as `PyTorchEncoder`."""

    def __init__(self, checkpoint: Path, architecture: Architecture, *, device: str = "cpu", threads: int = 1) -> None:
        self.architecture = architecture
        self.runtime = _runtime_info(device, threads)
        state = load_state_dict(checkpoint)
        self._prompt_encoder = build_prompt_encoder(architecture).to(device).eval()
        load_into(self._prompt_encoder, state, prefix="prompt_encoder.", source=str(checkpoint))
        self._mask_decoder = build_mask_decoder(architecture).to(device).eval()
        load_into(self._mask_decoder, state, prefix="mask_decoder.", source=str(checkpoint))
        self.workers = Workers(threads)
        self._position = self._prompt_encoder.get_dense_pe().detach()

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        """As `DecoderBackend.prepare` describes: the embedding on the device."""
        image = torch.from_numpy(np.array(embedding[None])).to(self._position.device)
        return PreparedImage(embedding, {"image": image})

    @torch.inference_mode()
    def decode(
        self,
        image: PreparedImage,
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        """Masks of a batch of prompts, as `DecoderBackend.decode` describes."""
        ious, index, logits = [], [], []
        for start in range(0, len(tokens), PROMPTS_PER_RUN):
            masks, iou = self._run(image.work["image"], tokens, slice(start, start + PROMPTS_PER_RUN), multimask)
            kept = iou > min_iou
            ious.append(iou.cpu().numpy())
            index.append(kept.nonzero().cpu().numpy() + np.array([start, 0]))
            logits.append(masks[kept].cpu().numpy())
        count, side = 3 if multimask else 1, self.architecture.low_res_side
        decoded = DecodedMasks(
            np.concatenate([np.zeros((0, count), np.float32), *ious]),
            np.concatenate([np.zeros((0, 2), np.int64), *index]),
            np.concatenate([np.zeros((0, side, side), np.float32), *logits]),
        )
        if not (np.isfinite(decoded.predicted_iou).all() and np.isfinite(decoded.logits).all()):
            raise NumericalError("a predicted IoU or a mask's logits are not finite: the weights are broken")
        return decoded

    def _run(
        self, image: torch.Tensor, tokens: PromptTokens, part: slice, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits [B, m, 4h, 4w], predicted IoU [B, m]) of some of the prompts.

        `PromptEncoder.forward` takes points and boxes apart; our tokens hold both, the padding point included, in the
        order it makes of them, so its parts are called here.
        """
        coords = torch.from_numpy(np.array(tokens.coords[part], np.float32)).to(image.device)
        labels = torch.from_numpy(np.array(tokens.labels[part])).to(image.device)
        sparse = self._prompt_encoder._embed_points(coords, labels, pad=False)
        for label in (2, 3):
            sparse[labels == label] += self._prompt_encoder.point_embeddings[label].weight
        if tokens.mask_input is None:
            dense = self._prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(image)
        else:
            masks = torch.from_numpy(np.array(tokens.mask_input[part, None], np.float32)).to(image.device)
            dense = self._prompt_encoder._embed_masks(masks)
        logits, iou = self._mask_decoder(
            image_embeddings=image,
            image_pe=self._position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return logits, iou


def _runtime_info(device: str, threads: int, precision: str = "fp32") -> RuntimeInfo:
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("PyTorch can't use the GPU: check nvidia-smi, or set SAM_USE_GPU=false")
    if not runs("pytorch", precision, device, None):
        raise ConfigurationError(f"PyTorch can't run {precision} on this device ({device}); fp32 runs everywhere")
    torch.set_num_threads(threads)
    return RuntimeInfo(backend="pytorch", device=device, providers=(), precision=precision)
