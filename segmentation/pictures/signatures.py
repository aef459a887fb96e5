"""What kind of file some bytes are, by their first bytes. Opens nothing, believes no file name and no media type."""

from typing import Literal

from segmentation.errors import InvalidImage, UnsupportedMediaType

PictureFormat = Literal["JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF"]

FORMATS_READ = "JPEG, PNG, TIFF, WebP, BMP and GIF are read"

_PICTURES: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)

_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "PostScript"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"OggS", "an Ogg stream"),
    (b"FLV\x01", "a Flash video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"\0\0\x01\xb3", "an MPEG video"),
    (b"ID3", "MP3 audio"),
    (b"\0\0\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\x01\0", "an icon"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SIMPLE  =", "a FITS picture"),
)

_TEXTS = (
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"data:", "a data URI; its decoded bytes are wanted here"),
)

_CONTAINERS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


def picture_format(data: bytes) -> PictureFormat:
    """The format of an encoded picture.

    Raises:
        InvalidImage: no bytes, or bytes of no known kind.
        UnsupportedMediaType: bytes of another kind, which the message names.
    """
    if not data:
        raise InvalidImage(f"the picture is empty; {FORMATS_READ}")
    for signature, picture in _PICTURES:
        if data.startswith(signature):
            return picture
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if kind := _other_kind(data):
        raise UnsupportedMediaType(f"this is {kind}; {FORMATS_READ}")
    raise InvalidImage(f"these bytes are no picture; {FORMATS_READ}")


def _other_kind(data: bytes) -> str | None:
    for signature, kind in _OTHERS:
        if data.startswith(signature):
            return kind
    if data[4:8] == b"ftyp":
        return _base_media_kind(data[8:12])
    if data.startswith(b"RIFF") and len(data) >= 12:
        return "an AVI video" if data[8:12] == b"AVI " else "a RIFF file"
    if data[128:132] == b"DICM":
        return "a DICOM picture"
    text = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, kind in _TEXTS:
        if text.startswith(beginning):
            return "an SVG drawing" if kind == "XML" and b"<svg" in data[:4096].lower() else kind
    return None


def _base_media_kind(brand: bytes) -> str:
    if brand in _CONTAINERS:
        return "a HEIC picture; convert it to JPEG or PNG"
    if brand in {b"avif", b"avis"}:
        return "an AVIF picture"
    if brand == b"crx ":
        return "a camera's raw picture"
    return "an MP4 or QuickTime video"
