"""Command-line tools that turn a SAM checkpoint into the ONNX pair that the server runs."""

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

if absent := [
    name for name in ("torch", "torchvision", "segment_anything", "onnx") if not importlib.util.find_spec(name)
]:
    raise ModuleNotFoundError(f"conversion needs {', '.join(absent)}: install the extra 'pytorch'")


def load_sam(model_type: str) -> "Sam":
    """The `segment_anything` model of a type in the manifest, with its checkpoint's weights, in eval mode.

    The checkpoint is looked for in `SAM_MODEL_DIR`, and downloaded if the manifest has a url for it.

    Raises:
        ConfigurationError: no such model type, or no whole checkpoint.
    """
    from conversion.reference import load_sam as load  # noqa: PLC0415  (torch takes seconds to import)

    return load(model_type)
