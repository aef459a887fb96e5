"""What a file that should be a checkpoint is, by its first bytes. Knows no tensors and no runtime."""

import zipfile
from pathlib import Path

from segmentation.errors import ModelFileError

HEAD_BYTES = 512
SAFETENSORS = "safetensors"
PYTORCH_ZIP = "PyTorch zip"
PYTORCH_LEGACY = "PyTorch legacy"

_LFS = b"version https://git-lfs.github.com/spec/"
_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x93NUMPY", "a NumPy array"),
)


def kind_of(path: Path) -> str:
    """`SAFETENSORS`, `PYTORCH_ZIP` or `PYTORCH_LEGACY`.

    Raises:
        ModelFileError: the file can't be read or is none of them; names what it is.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ModelFileError(f"can't read {path}: {error.strerror or error}") from error
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") > 1:
        return SAFETENSORS
    if head.startswith(b"\x80"):
        return PYTORCH_LEGACY
    raise ModelFileError(f"{path} is {_foreign(head, size)}, not a checkpoint: not a PyTorch checkpoint or safetensors")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelFileError(
            f"{path} is damaged or incomplete, not a PyTorch checkpoint; delete it or put the right file there"
        ) from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise ModelFileError(
            f"{path} is a TorchScript program, not a PyTorch checkpoint; save the weights alone: "
            "torch.save(model.state_dict(), path)"
        )
    if not any(name.endswith("data.pkl") for name in names):
        few = ", ".join(names[:3]) or "nothing"
        raise ModelFileError(f"{path} is a zip archive with {few}, not a PyTorch checkpoint; unpack it")
    return PYTORCH_ZIP


def _foreign(head: bytes, size: int) -> str:
    text = head.lstrip().lower()
    if not size:
        return "empty"
    if head.startswith(_LFS):
        return "a Git LFS pointer (fetch the file itself: git lfs pull)"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page (a download that ended on a web page: open the address in a browser)"
    if text.startswith((b"<?xml", b"<error")):
        return "an XML message (a download that was refused)"
    if text.startswith((b"{", b"[")):
        return "a JSON text"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    # `ModelProto` begins with its IR version, a small number, and then the producer's name, a graph or opsets.
    if head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in {b"\x12", b"\x1a", b"\x3a", b"\x42"}:
        return "an ONNX file (it belongs into SAM_ONNX_DIR, and is made by conversion/)"
    return "of an unknown kind"
