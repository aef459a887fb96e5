"""Both backends by the modules of `segment_anything` itself: small, slow, and right by definition."""

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from segmentation.backends.protocol import PreparedImage, RuntimeInfo
from segmentation.errors import NumericalError
from segmentation.types import DecodedMasks, PromptTokens
from segmentation.weights.architecture import Architecture
from segmentation.workers import Workers

RUNTIME = RuntimeInfo(backend="pytorch", device="cpu", providers=(), precision="fp32")


class SamEncoder:
    """`EncoderBackend` by `Sam.preprocess` and `Sam.image_encoder`."""

    def __init__(self, sam: Sam, architecture: Architecture) -> None:
        self.architecture = architecture
        self.runtime = RUNTIME
        self._sam = sam

    @torch.no_grad()
    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        embeddings = [
            self._sam.image_encoder(
                self._sam.preprocess(torch.as_tensor(image[:height, :width].copy()).permute(2, 0, 1)[None])
            )
            for image, (height, width) in zip(images, sizes, strict=True)
        ]
        embedded: NDArray[np.float32] = torch.cat(embeddings).numpy()
        if not np.isfinite(embedded).all():
            raise NumericalError("an image embedding is not finite")
        return embedded


class SamDecoder:
    """`DecoderBackend` by `Sam.prompt_encoder` and `Sam.mask_decoder`."""

    def __init__(self, sam: Sam, architecture: Architecture) -> None:
        self.architecture = architecture
        self.workers = Workers(1)
        self.runtime = RUNTIME
        self._sam = sam

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        return PreparedImage(embedding, {})

    @torch.no_grad()
    def decode(
        self,
        image: PreparedImage,
        tokens: PromptTokens,
        *,
        multimask: bool = True,
        min_iou: float = -np.inf,
    ) -> DecodedMasks:
        logits, iou = self._sam.mask_decoder(
            image_embeddings=torch.as_tensor(image.embedding.copy())[None],
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=self._sparse(tokens),
            dense_prompt_embeddings=self._dense(tokens),
            multimask_output=multimask,
        )
        above = (iou > min_iou).numpy()
        return DecodedMasks(iou.numpy(), np.argwhere(above), logits.numpy()[above])

    def _sparse(self, tokens: PromptTokens) -> torch.Tensor:
        """Padding points and box corners come as tokens here, so SAM's own padding is undone."""
        encoder = self._sam.prompt_encoder
        coords, labels = torch.as_tensor(tokens.coords), torch.as_tensor(tokens.labels)
        points = encoder._embed_points(coords, labels, pad=False)
        corners = encoder._embed_points(coords, torch.full_like(labels, 4), pad=False)
        for label, embedding in ((2, encoder.point_embeddings[2]), (3, encoder.point_embeddings[3])):
            points[labels == label] = (corners + embedding.weight)[labels == label]
        return points

    def _dense(self, tokens: PromptTokens) -> torch.Tensor:
        encoder = self._sam.prompt_encoder
        if tokens.mask_input is not None:
            return encoder._embed_masks(torch.as_tensor(tokens.mask_input)[:, None])
        return encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(tokens), -1, *encoder.image_embedding_size)
