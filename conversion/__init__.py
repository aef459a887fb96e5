"""Command-line tools that turn a SAM checkpoint into the ONNX pair that the server runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


def load_sam(model_type: str) -> "Sam":
    """The `segment_anything` model of a type in the manifest, with its checkpoint's weights, in eval mode.

    The checkpoint is looked for in `SAM_MODEL_DIR`, and downloaded if the manifest has a url for it.

    Raises:
        ConfigurationError: no such model type, or no whole checkpoint.
    """
    from conversion.reference import load_sam as load  # noqa: PLC0415  (torch only when it is needed)

    return load(model_type)
