"""What kind of file some bytes are, by their first bytes. Opens nothing, believes no file name and no media type."""

from typing import Literal

from segmentation.errors import InvalidImage, UnsupportedMediaType

PictureFormat = Literal[
    "JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF", "JPEG 2000", "JPEG XL", "AVIF", "PNM", "FITS", "other"
]
"""`other`: one of the rarer formats that Pillow knows, or nothing that anybody knows."""

FORMATS_READ = "JPEG, PNG, TIFF, WebP, BMP, GIF, AVIF, JPEG 2000, JPEG XL, PPM and most that Pillow knows are read"

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
    (b"\0\0\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    *((b"P%d" % number, "PNM") for number in range(1, 7)),
    (b"P7\n", "PNM"),  # PAM; "P7 332" is a thumbnail of xv
    (b"PF\n", "PNM"),  # PFM
    (b"Pf\n", "PNM"),
    (b"SIMPLE  =", "FITS"),
)

# Those that would otherwise be called no picture, that Pillow would shorten, and that can run code: nothing is opened.
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"\x01\0\0\0", "a Windows metafile"),
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
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"\x97JB2\r\n\x1a\n", "a JBIG2 picture"),
    (b"BPG\xfb", "a BPG picture"),
    (b"FLIF", "a FLIF picture"),
    (b"AT&TFORM", "a DjVu document"),
    (b"gimp xcf", "a GIMP picture"),
    (b"ZISRAWFILE", "a Zeiss CZI file"),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file"),
    (b"\x70\0\0\0\x2a", "a Leica LIF file"),
    (b"NRRD000", "an NRRD file"),
    (b"ObjectType", "a MetaImage file"),
    (b"CDF\x01", "a NetCDF file"),
    (b"CDF\x02", "a NetCDF file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\0\0\0\x03", "a Gatan DM3 file"),
    (b"\0\0\0\x04", "a Gatan DM4 file"),
    (b"FUJIFILMCCD-RAW", "a camera's raw picture"),
    (b"IIRO", "a camera's raw picture"),
    (b"IIRS", "a camera's raw picture"),
    (b"MMOR", "a camera's raw picture"),
    (b"IIU\0", "a camera's raw picture"),
    (b"FOVb", "a camera's raw picture"),
    (b"\0MRM", "a camera's raw picture"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    (b"iVBORw0KGgo", "base64 text; its decoded bytes are wanted here"),
    (b"/9j/", "base64 text; its decoded bytes are wanted here"),
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

_HEIC = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


def picture_format(data: bytes) -> PictureFormat:
    """The format of an encoded picture.

    Raises:
        InvalidImage: no bytes.
        UnsupportedMediaType: bytes of a kind that is not read, which the message names.
    """
    if not data:
        raise InvalidImage(f"the picture is empty; {FORMATS_READ}")
    for signature, picture in _PICTURES:
        if data.startswith(signature):
            return picture
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp" and {b"avif", b"avis"} & {data[at : at + 4] for at in range(8, 48, 4)}:
        return "AVIF"
    if kind := _other_kind(data):
        raise UnsupportedMediaType(f"this is {kind}; {FORMATS_READ}")
    return "other"


def _other_kind(data: bytes) -> str | None:
    for signature, kind in _OTHERS:
        if data.startswith(signature):
            return kind
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIC:
            return "a HEIC picture; convert it to JPEG or PNG"
        return "a camera's raw picture" if data[8:12] == b"crx " else "an MP4 or QuickTime video"
    if data.startswith(b"RIFF") and len(data) >= 12:
        return "an AVI video" if data[8:12] == b"AVI " else "a RIFF file"
    if data[128:132] == b"DICM":
        return "a DICOM picture"
    if data[344:348] in {b"n+1\0", b"ni1\0"}:
        return "a NIfTI file"
    if data[208:212] == b"MAP ":
        return "an MRC file"
    if data.startswith(b"8BPS") and data[22:24] != b"\0\x08" and data[22:24] != b"\0\x01":
        return "a Photoshop document of more than 8 bits"
    if data.startswith(b"\x01\xda") and data[3:4] == b"\x02":
        return "an SGI picture of 16 bits"
    text = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, kind in _TEXTS:
        if text.startswith(beginning):
            return "an SVG drawing" if kind == "XML" and b"<svg" in data[:4096].lower() else kind
    return None
