"""How well a variant of an encoder computes, as measured at its conversion against PyTorch in float32.

Knows records, not how they are measured: `conversion.quality` does that.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from segmentation.errors import ModelFileError

LEAST_MASK_IOU = 0.98
"""`SAM_PRECISION=auto` takes no variant whose masks agree less with float32's."""

_PREFIX = "quality_"


@dataclass(frozen=True, slots=True)
class Quality:
    """One measurement, on the weights that were converted.

    embedding_error: the largest max|a - b| / max|b| of a picture's embedding.
    mask_iou: mean IoU of the masks of points all over the pictures, with those from PyTorch's float32 embedding.
    masks: how many those are.
    pictures: names of the pictures, comma separated.
    """

    embedding_error: float
    mask_iou: float
    masks: int
    pictures: str

    @property
    def is_good(self) -> bool:
        return self.mask_iou >= LEAST_MASK_IOU

    def __str__(self) -> str:
        return f"embedding error {self.embedding_error:.2g}, mask IoU {self.mask_iou:.4f} with float32"


def to_metadata(quality: Quality) -> dict[str, str]:
    """The entries that an ONNX file carries."""
    return {f"{_PREFIX}{key}": str(value) for key, value in asdict(quality).items()}


def from_metadata(metadata: Mapping[str, str], source: Path) -> Quality | None:
    """The record in an ONNX file's metadata; None if there is none.

    Raises:
        ModelFileError: it is malformed.
    """
    record = {key.removeprefix(_PREFIX): value for key, value in metadata.items() if key.startswith(_PREFIX)}
    return _parse(record, source) if record else None


def record_path(onnx_dir: Path, model_type: str, precision: str, runtime: str = "pytorch") -> Path:
    """The record of a precision that has no converted file of its own to carry it: of "pytorch" or "openvino"."""
    variant = precision if runtime == "pytorch" else f"{runtime}-{precision}"
    return onnx_dir / f"sam_{model_type}_quality.{variant}.json"


def write_record(path: Path, quality: Quality, source_sha256: str) -> None:
    """Puts the record of a checkpoint in place, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    part.write_text(json.dumps({"source_sha256": source_sha256, **asdict(quality)}, indent=2) + "\n")
    part.replace(path)


def read_record(path: Path, source_sha256: str | None) -> Quality | None:
    """The record of a checkpoint; None if there is none, or it is of another checkpoint.

    Args:
        source_sha256: of the checkpoint; None takes any.

    Raises:
        ModelFileError: the file can't be read or is malformed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"can't read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ModelFileError(f"{path} is no quality record")
    source = document.pop("source_sha256", None)
    return None if source_sha256 not in {None, source} else _parse(document, path)


def _parse(record: Mapping[str, object], source: Path) -> Quality:
    try:
        return Quality(
            embedding_error=float(str(record["embedding_error"])),
            mask_iou=float(str(record["mask_iou"])),
            masks=int(str(record["masks"])),
            pictures=str(record["pictures"]),
        )
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"the quality record in {source} is malformed: {error}") from error
