"""The errors a caller can meet, in one tree. Each has a stable `code` that the HTTP edge maps to a status.

Knows nothing of HTTP. Errors cross process boundaries by pickle: positional arguments only.
"""


class SegmentationError(Exception):
    """Root of the tree. The message says what the caller can do about it."""

    code = "internal"

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else self.code


class InvalidImage(SegmentationError):
    """The bytes are not a picture that can be read."""

    code = "invalid_image"


class ImageTooLarge(SegmentationError):
    """The picture has more pixels than the server accepts."""

    code = "image_too_large"


class UnsupportedMediaType(SegmentationError):
    """The bytes are of a kind that is not read at all (a video, a PDF)."""

    code = "unsupported_media_type"


class InvalidRequest(SegmentationError):
    """A field holds something it can't: `InvalidRequest(message, pointer)`, the pointer as in RFC 6901."""

    code = "invalid_request"

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message, pointer)

    @property
    def pointer(self) -> str:
        return str(self.args[1])


class LimitExceeded(InvalidRequest):
    """A field asks for more than the server allows."""

    code = "limit_exceeded"


class UnknownImage(SegmentationError):
    """No embedding is held under this image id; send the picture again."""

    code = "unknown_image"


class ConfigurationError(SegmentationError):
    """Settings that can't be served; raised at start, never during a request."""

    code = "configuration"


class ModelFileError(ConfigurationError):
    """A checkpoint or ONNX file is missing, damaged, or not what it claims to be."""

    code = "model_file"


class TorchNeeded(ModelFileError):
    """A checkpoint that only PyTorch could read, where PyTorch is not installed."""


class NumericalError(SegmentationError):
    """The model produced values that are not finite; the weights or the runtime are broken."""

    code = "internal"
