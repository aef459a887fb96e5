"""Segment everything: `SamAutomaticMaskGenerator` in steps that can run in different processes.

    plan_crops -> per crop: encode, decode_points of each shard of its grid, merge_crop -> merge

The masks do not depend on how a grid was cut into shards, as long as shards are merged in order.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segmentation.automatic.candidates import Candidates, concatenate, no_candidates
from segmentation.automatic.grid import Crop, crop_boxes, layer_grids
from segmentation.automatic.parameters import (
    PERFORMANCE,
    QUALITY,
    AutomaticParameters,
    DecodingParameters,
    with_overrides,
)
from segmentation.backends.protocol import DecoderBackend, EncoderBackend, PreparedImage
from segmentation.masks.measure import MeasuredMask, measure_masks
from segmentation.masks.nms import box_nms
from segmentation.masks.regions import remove_small_regions
from segmentation.masks.rle import from_runs, runs_area, runs_box, to_runs
from segmentation.masks.upscale import upscale_table
from segmentation.transforms import InputFrame, input_size, pad_to_square, resize_image, to_input_frame
from segmentation.types import CropBox, DecodedMasks, MaskRecord, PromptTokens, Rle, Size

__all__ = [
    "MAX_POINTS_PER_BATCH",
    "PERFORMANCE",
    "QUALITY",
    "AutomaticParameters",
    "Candidates",
    "Crop",
    "DecodingParameters",
    "decode_points",
    "encode_crop",
    "generate",
    "merge",
    "merge_crop",
    "plan_crops",
    "with_overrides",
]

MAX_POINTS_PER_BATCH = 64
EDGE_DISTANCE = 20
"""Pixels; `is_box_near_crop_edge` of segment-anything."""


def plan_crops(size: Size, parameters: AutomaticParameters) -> list[Crop]:
    """The crops of a picture with their points, the whole picture first; crops without points are left out."""
    if parameters.point_grids is not None:
        grids = [np.array(grid, np.float64).reshape(-1, 2) for grid in parameters.point_grids]
    else:
        assert parameters.points_per_side is not None
        grids = layer_grids(
            parameters.points_per_side, parameters.crop_n_layers, parameters.crop_n_points_downscale_factor
        )
    crops = []
    for box, layer in crop_boxes(size, parameters.crop_n_layers, parameters.crop_overlap_ratio):
        x0, y0, x1, y1 = box
        points = grids[layer] * (x1 - x0, y1 - y0) + (x0, y0)
        if len(points):
            crops.append(Crop(box, layer, points))
    return crops


def decode_points(
    decoder: DecoderBackend,
    image: PreparedImage,
    crop_box: CropBox,
    size: Size,
    points: NDArray[np.float64],
    parameters: DecodingParameters,
) -> Candidates:
    """The masks of one shard of a crop's grid that pass every threshold, before any suppression of duplicates.

    Args:
        image: the crop, by `decoder.prepare`.
        crop_box: (x0, y0, x1, y1) of the crop in the original frame, x1 and y1 exclusive.
        size: (height, width) of the whole picture.
        points: float64 [N, 2], (x, y) in the original frame.
    """
    architecture = decoder.architecture
    x0, y0, x1, y1 = crop_box
    crop_size = (y1 - y0, x1 - x0)
    table = upscale_table(crop_size, architecture.frame, architecture.low_res_side)
    offset, min_iou = parameters.stability_score_offset, parameters.pred_iou_thresh
    batch = min(parameters.points_per_batch, MAX_POINTS_PER_BATCH)

    def candidates_of(part: NDArray[np.float64]) -> Candidates:
        """A function, so that one batch's logits are gone before the next batch's are made."""
        tokens = _point_tokens(part - (x0, y0), crop_size, architecture.frame)
        decoded = decoder.decode(image, tokens, multimask=True, min_iou=min_iou if min_iou > 0 else -np.inf)
        masks = measure_masks(decoded.logits, table, crop_box, size, offset, decoder.workers)
        return _passing(decoded, masks, part, crop_box, size, parameters.stability_score_thresh)

    return concatenate([candidates_of(points[start : start + batch]) for start in range(0, len(points), batch)])


def merge_crop(shards: Sequence[Candidates], parameters: AutomaticParameters) -> Candidates:
    """One crop's candidates, best predicted IoU first, without duplicates by box."""
    candidates = concatenate(shards)
    return candidates.take(box_nms(candidates.boxes, candidates.predicted_iou, parameters.box_nms_thresh))


def merge(crops: Sequence[Candidates], size: Size, parameters: AutomaticParameters) -> list[MaskRecord]:
    """The masks of a picture: duplicates between crops go, small regions are cleaned, small masks are left out.

    Args:
        crops: the candidates of each crop by `merge_crop`, in `plan_crops`' order.
    """
    candidates = concatenate(crops)
    if parameters.crop_n_layers > 0:
        candidates = _suppress_between_crops(candidates, parameters.crop_nms_thresh)
    if parameters.min_mask_region_area > 0:
        candidates = clean_regions(
            candidates,
            size,
            parameters.min_mask_region_area,
            max(parameters.box_nms_thresh, parameters.crop_nms_thresh),
        )
    return [
        _record(candidates, index, size)
        for index in range(len(candidates))
        if candidates.areas[index] >= parameters.min_mask_area
    ]


def clean_regions(candidates: Candidates, size: Size, min_area: float, iou_threshold: float) -> Candidates:
    """Every mask without its small holes and islands, then without new duplicates, unchanged masks first.

    `SamAutomaticMaskGenerator.postprocess_small_regions`.
    """
    counts, boxes, areas = list(candidates.counts), candidates.boxes.copy(), candidates.areas.copy()
    unchanged = np.ones(len(candidates), np.float32)
    for index in range(len(candidates)):
        runs, changed = remove_small_regions(to_runs(Rle(size, counts[index])), size, min_area)
        if changed:
            unchanged[index] = 0
            counts[index] = from_runs(runs, size).counts
            boxes[index] = runs_box(runs, size)
            areas[index] = runs_area(runs)
    cleaned = Candidates(
        counts=tuple(counts),
        boxes=boxes,
        predicted_iou=candidates.predicted_iou,
        stability_score=candidates.stability_score,
        points=candidates.points,
        areas=areas,
        crop_boxes=candidates.crop_boxes,
    )
    return cleaned.take(box_nms(boxes, unchanged, iou_threshold))


def generate(
    encoder: EncoderBackend,
    decoder: DecoderBackend,
    image: NDArray[np.uint8],
    parameters: AutomaticParameters,
    progress: Callable[[int, int], None] | None = None,
) -> list[MaskRecord]:
    """Every mask of a picture, in this process.

    Args:
        image: uint8 [H, W, 3], RGB.
        progress: called with (points done, points in all) after each batch.
    """
    size = (image.shape[0], image.shape[1])
    crops = plan_crops(size, parameters)
    total = sum(len(crop.points) for crop in crops)
    done = 0
    merged = []
    for crop in crops:
        prepared = decoder.prepare(encode_crop(encoder, image, crop.box))
        shards = []
        for start in range(0, len(crop.points), MAX_POINTS_PER_BATCH):
            points = crop.points[start : start + MAX_POINTS_PER_BATCH]
            shards.append(decode_points(decoder, prepared, crop.box, size, points, parameters.decoding))
            done += len(points)
            if progress is not None:
                progress(done, total)
        merged.append(merge_crop(shards, parameters))
    return merge(merged, size, parameters)


def encode_crop(encoder: EncoderBackend, image: NDArray[np.uint8], box: CropBox) -> NDArray[np.float32]:
    """The embedding of one crop of a picture, float32 [C, h, w]."""
    x0, y0, x1, y1 = box
    frame = encoder.architecture.frame
    resized = resize_image(image[y0:y1, x0:x1], frame)
    seen = np.array([input_size((y1 - y0, x1 - x0), frame)], np.int64)
    embedding: NDArray[np.float32] = encoder.encode(pad_to_square(resized, frame.side)[None], seen)[0]
    return embedding


def _passing(
    decoded: DecodedMasks,
    measured: Sequence[MeasuredMask],
    points: NDArray[np.float64],
    crop_box: CropBox,
    size: Size,
    stability_threshold: float,
) -> Candidates:
    """The decoded masks that are stable and were not cut by their crop."""
    kept = [
        row
        for row, mask in enumerate(measured)
        if np.float32(mask.stability_score) >= np.float32(stability_threshold)
        and not _near_crop_edge(mask.box, crop_box, size)
    ]
    if not kept:
        return no_candidates()
    masks = [measured[row] for row in kept]
    prompt, mask_index = decoded.index[kept].T
    return Candidates(
        counts=tuple(from_runs(mask.runs, size).counts for mask in masks),
        boxes=np.array([mask.box for mask in masks], np.int64),
        predicted_iou=decoded.predicted_iou[prompt, mask_index],
        stability_score=np.array([mask.stability_score for mask in masks], np.float32),
        points=points[prompt],
        areas=np.array([mask.area for mask in masks], np.int64),
        crop_boxes=np.tile(np.array(crop_box, np.int64), (len(masks), 1)),
    )


def _point_tokens(points: NDArray[np.float64], crop_size: Size, frame: InputFrame) -> PromptTokens:
    """One foreground point per prompt, and SAM's padding point behind it."""
    coords = np.zeros((len(points), 2, 2), np.float32)
    coords[:, 0] = to_input_frame(points, crop_size, frame)
    return PromptTokens(coords, np.tile(np.array([1, -1], np.int64), (len(points), 1)))


def _near_crop_edge(box: tuple[int, int, int, int], crop_box: CropBox, size: Size) -> bool:
    """Whether the mask ends near an edge of the crop that is not also near the picture's edge: it was cut there."""
    picture = (0, 0, size[1], size[0])
    return any(
        abs(side - crop_side) <= EDGE_DISTANCE < abs(side - picture_side)
        for side, crop_side, picture_side in zip(box, crop_box, picture, strict=True)
    )


def _suppress_between_crops(candidates: Candidates, iou_threshold: float) -> Candidates:
    """Without duplicates by box; masks of smaller crops are preferred."""
    sides = candidates.crop_boxes[:, 2:] - candidates.crop_boxes[:, :2]
    scores = np.float32(1) / np.prod(sides, axis=1).astype(np.float32)
    return candidates.take(box_nms(candidates.boxes, scores, iou_threshold))


def _record(candidates: Candidates, index: int, size: Size) -> MaskRecord:
    x0, y0, x1, y1 = candidates.boxes[index].tolist()
    crop_x0, crop_y0, crop_x1, crop_y1 = candidates.crop_boxes[index].tolist()
    x, y = candidates.points[index].tolist()
    area = int(candidates.areas[index])
    return MaskRecord(
        rle=Rle(size, candidates.counts[index]),
        bbox=(x0, y0, x1 - x0 + 1, y1 - y0 + 1) if area else (0, 0, 0, 0),
        area=area,
        predicted_iou=float(candidates.predicted_iou[index]),
        stability_score=float(candidates.stability_score[index]),
        point_coords=((x, y),),
        crop_box=(crop_x0, crop_y0, crop_x1 - crop_x0, crop_y1 - crop_y0),
    )
