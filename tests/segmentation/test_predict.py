import numpy as np
import pytest
import torch
from localised import localised_sam
from oracle import TINY, random_sam
from photographs import photograph
from sam_backend import SamDecoder, SamEncoder
from segment_anything import SamPredictor

from segmentation.masks.rle import decode
from segmentation.predict import segment
from segmentation.transforms import pad_to_square, resize_image
from segmentation.types import Prompt

SIZE = (150, 211)
POINTS = np.array([[60, 40], [150, 100]], np.float32)
BOX = np.array([20, 30, 120, 140], np.float32)


class Pair:
    """The reference's predictor and our decoder, both set on one picture."""

    def __init__(self, sam):
        image = photograph(*SIZE)
        self.predictor = SamPredictor(sam)
        self.predictor.set_image(image)
        self.decoder = SamDecoder(sam, TINY)
        resized = resize_image(image, TINY.frame)
        encoder = SamEncoder(sam, TINY)
        self.embedding = encoder.encode(pad_to_square(resized, TINY.image_size)[None], np.array([resized.shape[:2]]))[0]
        self.image = self.decoder.prepare(self.embedding)


@pytest.fixture(scope="module", params=["random", "localised"])
def pair(request):
    return Pair(random_sam() if request.param == "random" else localised_sam())


def prompt_of(points=None, labels=None, box=None, mask_input=None):
    if points is None:
        return Prompt(box=box, mask_input=mask_input)
    return Prompt(points=points, labels=np.array(labels, np.int64), box=box, mask_input=mask_input)


def test_the_embedding_is_the_references(pair) -> None:
    np.testing.assert_allclose(pair.embedding, pair.predictor.features[0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        {"points": POINTS[:1], "labels": [1]},
        {"points": POINTS, "labels": [1, 0]},
        {"box": BOX},
        {"points": POINTS[:1], "labels": [0], "box": BOX},
        {"points": POINTS[:1], "labels": [1], "mask_input": np.linspace(-5, 5, 32 * 32).reshape(32, 32)},
    ],
    ids=["point", "points", "box", "point and box", "point and mask"],
)
def test_masks_are_the_predictors(pair, arguments, multimask) -> None:
    masks, scores, logits = pair.predictor.predict(
        point_coords=arguments.get("points"),
        point_labels=np.array(arguments["labels"]) if "labels" in arguments else None,
        box=arguments.get("box"),
        mask_input=arguments["mask_input"][None] if "mask_input" in arguments else None,
        multimask_output=multimask,
    )
    if "mask_input" in arguments:
        arguments = {**arguments, "mask_input": arguments["mask_input"].astype(np.float32)}
    (records,) = segment(
        pair.decoder, pair.image, SIZE, [prompt_of(**arguments)], multimask=multimask, return_logits=True
    )
    assert len(records) == (3 if multimask else 1)
    for record, index in zip(records, np.argsort(-scores, kind="stable"), strict=True):
        assert record.predicted_iou == pytest.approx(scores[index], abs=1e-5)
        assert record.logits is not None
        np.testing.assert_allclose(record.logits, logits[index], rtol=0, atol=1e-4 * np.abs(logits).max())
        mask = decode(record.rle)
        assert np.count_nonzero(mask != masks[index]) <= 2
        assert record.area == mask.sum()
        ys, xs = np.nonzero(mask)
        if len(xs):
            x, y, width, height = record.bbox
            assert (x, y, x + width - 1, y + height - 1) == (xs.min(), ys.min(), xs.max(), ys.max())


def test_many_prompts_are_answered_in_order(pair) -> None:
    prompts = [
        prompt_of(POINTS[:1], [1]),
        prompt_of(box=BOX),
        prompt_of(POINTS[1:], [1]),
        prompt_of(POINTS, [1, 1], box=BOX),
    ]
    together = segment(pair.decoder, pair.image, SIZE, prompts)
    alone = [segment(pair.decoder, pair.image, SIZE, [prompt])[0] for prompt in prompts]
    for records, expected in zip(together, alone, strict=True):
        assert [record.area for record in records] == [record.area for record in expected]
        assert [record.predicted_iou for record in records] == pytest.approx(
            [record.predicted_iou for record in expected], abs=1e-5
        )


def test_stability_score_is_at_one_logit(pair) -> None:
    prompt = prompt_of(POINTS[:1], [1])
    (records,) = segment(pair.decoder, pair.image, SIZE, [prompt], return_logits=True)
    for record in records:
        full = pair.predictor.model.postprocess_masks(
            torch.as_tensor(record.logits)[None, None], pair.predictor.input_size, SIZE
        )
        high, low = int((full > 1).sum()), int((full > -1).sum())
        assert record.stability_score == pytest.approx(high / low if low else 0.0, abs=1e-3)


def test_logits_are_left_out_unless_asked_for(pair) -> None:
    (records,) = segment(pair.decoder, pair.image, SIZE, [prompt_of(box=BOX)])
    assert all(record.logits is None for record in records)


def test_no_prompts(pair) -> None:
    assert segment(pair.decoder, pair.image, SIZE, []) == []
