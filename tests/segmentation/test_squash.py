"""A model that squashes pictures and stretches their levels, as MedSAM: clicks, boxes and grids in its frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bumps import BumpDecoder
from localised import localised_sam
from oracle import TINY
from PIL import Image
from sam_backend import SamDecoder
from torch.nn import functional

from segmentation.automatic.generate import encode_crop, generate
from segmentation.automatic.parameters import PERFORMANCE
from segmentation.backends.pytorch.normalise import Normalise
from segmentation.masks.rle import decode
from segmentation.predict import segment
from segmentation.transforms import resize_image, to_input_frame
from segmentation.types import Prompt
from segmentation.weights.architecture import Preprocess

MEDSAM = replace(TINY, preprocess=Preprocess(resize="squash", normalise="min_max"))
SIZE = (90, 200)


class Encoder:
    """MedSAM's steps around the reference's encoder."""

    architecture = MEDSAM

    def __init__(self, sam) -> None:
        self.sam = sam

    def encode(self, images, sizes):
        assert (sizes == MEDSAM.image_size).all()
        pixels = torch.from_numpy(images).float()
        stretched = (pixels - pixels.amin()) / (pixels.amax() - pixels.amin())
        with torch.inference_mode():
            return self.sam.image_encoder(stretched.permute(0, 3, 1, 2)).numpy()


@pytest.fixture(scope="module")
def sam():
    return localised_sam()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(30, 190, (*SIZE, 3), dtype=np.uint8)


def test_both_sides_are_resized() -> None:
    image = np.zeros((90, 200, 3), np.uint8)
    assert resize_image(image, MEDSAM.frame).shape == (128, 128, 3)
    np.testing.assert_allclose(to_input_frame(np.array([200.0, 90.0]), SIZE, MEDSAM.frame), [128, 128])


def test_levels_are_stretched_by_those_of_the_picture() -> None:
    images = np.full((2, 8, 8, 3), 255, np.uint8)
    images[:, :6, :4] = 100
    images[0, 0, 0], images[1, 2, 3] = (50, 60, 150), 100
    normalise = Normalise(replace(MEDSAM, image_size=16), torch.device("cpu"))
    made = normalise(torch.from_numpy(images), torch.tensor([[6, 4], [6, 4]]))
    np.testing.assert_allclose(made[0, 0, 0], [0, 0.1, 1], atol=1e-6)
    assert made[0, 5, 3, 0] == 0.5
    assert not made[:, 6:].any(), "beyond the picture"
    assert not made[1].any(), "a picture of one level divides nothing by zero"


def test_a_box_gives_medsams_mask(sam, picture) -> None:
    box = np.array([40, 20, 150, 70], np.float32)
    decoder = SamDecoder(sam, MEDSAM)
    embedding = encode_crop(Encoder(sam), picture, (0, 0, SIZE[1], SIZE[0]))
    (record,) = segment(decoder, decoder.prepare(embedding), SIZE, [Prompt(box=box)], multimask=False)[0]

    squashed = np.asarray(Image.fromarray(picture).resize((128, 128), Image.Resampling.BICUBIC)).astype(np.float32)
    stretched = (squashed - squashed.min()) / (squashed.max() - squashed.min())
    with torch.inference_mode():
        features = sam.image_encoder(torch.from_numpy(stretched).permute(2, 0, 1)[None])
        scaled = torch.from_numpy(box / np.array([200, 90, 200, 90], np.float32) * 128)[None]
        sparse, dense = sam.prompt_encoder(points=None, boxes=scaled, masks=None)
        logits, _ = sam.mask_decoder(
            image_embeddings=features,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        expected = functional.interpolate(logits, SIZE, mode="bilinear")[0, 0].numpy() > 0
    found = decode(record.rle).astype(bool)
    assert found.any()
    assert (found & expected).sum() / (found | expected).sum() > 0.98


def test_automatic_masks_lie_at_their_points(sam, picture) -> None:
    """In a frame that kept the proportions, masks of points on the right would lie elsewhere."""
    parameters = replace(
        PERFORMANCE, points_per_side=4, crop_n_layers=1, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    records = generate(Encoder(sam), BumpDecoder(MEDSAM), picture, parameters)
    assert len(records) > 4
    hits = [bool(decode(record.rle)[int(y), int(x)]) for record in records for x, y in record.point_coords or ()]
    assert np.mean(hits) > 0.9
