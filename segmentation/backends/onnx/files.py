"""The ONNX files of a model: where they are, and whether they are whole and belong together.

Reads the metadata without the `onnx` package: an ONNX file is one protobuf message, and its `metadata_props` (field 14)
stand at the top level. The last of them is a seal, `content_sha256`: SHA-256 of every byte before it. Knows no runtime.
"""

import contextlib
import hashlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segmentation.backends.quality import Quality, from_metadata, read_record, record_path
from segmentation.errors import ModelFileError
from segmentation.weights.architecture import SAM_PREPROCESS, Architecture, parse_architecture
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.manifest import ModelEntry, ModelSpec, with_architecture

FORMAT_VERSIONS = {
    ("encoder", "fp32"): "2",
    ("encoder", "int8"): "3",
    ("decoder", "fp32"): "3",
}
"""Of our graphs and their metadata, by kind and precision; a change that an older or newer server can't run raises
one."""

SEAL = "content_sha256"
"""Key of the last metadata entry."""

MAX_FILE_BYTES = 10_000_000_000
"""Four times the largest encoder, vit_h in float32. To read a longer file through takes minutes."""

METADATA_FIELD = 14
"""`ModelProto.metadata_props` in onnx.proto."""

_LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}


@dataclass(frozen=True, slots=True)
class OnnxPair:
    """Two files that were verified to be whole and to come from one checkpoint.

    encoder, decoder: the files. encoder_metadata, decoder_metadata: all their metadata, by key.
    quality: as measured at the conversion; None only for fp32 and bf16.
    source_is_manifest: whether the checkpoint is the one of the manifest; True where the manifest has no SHA-256.
    spec: the entry with the architecture of the graphs.
    """

    encoder: Path
    decoder: Path
    encoder_metadata: Mapping[str, str]
    decoder_metadata: Mapping[str, str]
    source_is_manifest: bool
    quality: Quality | None
    spec: ModelSpec

    @property
    def pair_id(self) -> str:
        """Identifies the weights: the same for every precision of one checkpoint."""
        return self.encoder_metadata["pair_id"]


def pair_paths(onnx_dir: Path, model_type: str, precision: str = "fp32") -> tuple[Path, Path]:
    """(encoder, decoder) of a model. The precision is the encoder's; bf16 is computed from the file of fp32."""
    variant = ".int8" if precision == "int8" else ""
    return onnx_dir / f"sam_{model_type}_encoder{variant}.onnx", onnx_dir / f"sam_{model_type}_decoder.onnx"


def data_path(model: Path) -> Path:
    """The file beside an ONNX file that holds its weights where they are large."""
    return model.with_name(f"{model.name}.data")


def make_pair_id(model_type: str, source_sha256: str) -> str:
    """The same for the same checkpoint, so that a precision can be added to a pair later."""
    # "2" is in all ids given so far.
    return hashlib.sha256(f"2/{model_type}/{source_sha256}".encode()).hexdigest()[:16]


def architecture_facts(architecture: Architecture) -> dict[str, str]:
    """What the graphs of a model say about its architecture."""
    shape = ", ".join(str(size) for size in architecture.embedding_shape)
    facts = {"image_size": str(architecture.image_size), "embedding_shape": shape}
    # Graphs that say nothing of it prepare pictures as SAM.
    return facts if architecture.preprocess == SAM_PREPROCESS else {**facts, "preprocess": str(architecture.preprocess)}


def verify_pair(onnx_dir: Path, spec: ModelEntry, precision: str = "fp32") -> OnnxPair:
    """Reads both files wholly and checks that they are whole, ours, and of one checkpoint.

    Raises:
        ModelFileError: they are not; one line, which ends with how to convert.
    """
    paths = pair_paths(onnx_dir, spec.name, precision)
    with _told_how_to_convert(spec, precision):
        encoder, decoder = (_verified_part(path, spec, precision) for path in paths)
        if encoder["pair_id"] != decoder["pair_id"]:
            raise ModelFileError(f"{paths[0].name} and {paths[1].name} in {onnx_dir} come from different checkpoints")
        quality = from_metadata(encoder, paths[0])
        if precision == "bf16":
            record = record_path(onnx_dir, spec.name, precision, "openvino")
            quality = read_record(record, encoder["source_sha256"])
        elif quality is None and precision != "fp32":
            raise ModelFileError(f"{paths[0]} has no record of its quality and is not used")
    source = encoder["source_sha256"]
    is_manifests = spec.sha256 is None or spec.sha256.lower() == source
    return OnnxPair(*paths, encoder, decoder, is_manifests, quality, _spec(spec, encoder, paths[0]))


def verify_part(path: Path, spec: ModelEntry, precision: str, pair_id: str) -> None:
    """Reads one file of a pair wholly and checks that it is whole and the one of that pair.

    Args:
        path: the encoder's or the decoder's, as `pair_paths` gives it.
        precision: of the pair.

    Raises:
        ModelFileError: it is not; one line, which ends with how to convert.
    """
    with _told_how_to_convert(spec, precision):
        if _verified_part(path, spec, precision)["pair_id"] != pair_id:
            raise ModelFileError(f"{path} is of another pair than the server was started with")


def _verified_part(path: Path, spec: ModelEntry, precision: str) -> dict[str, str]:
    found = _verified(path)
    is_decoder = path == pair_paths(path.parent, spec.name, precision)[1]
    kind = "decoder" if is_decoder else "encoder"
    own_precision = "int8" if precision == "int8" and not is_decoder else "fp32"
    wanted = {
        "kind": kind,
        "format_version": FORMAT_VERSIONS[kind, own_precision],
        "model_type": spec.name,
        "precision": own_precision,
        **({} if spec.architecture is None else architecture_facts(spec.architecture)),
    }
    found.setdefault("preprocess", str(SAM_PREPROCESS))
    _compare(path, found, {**wanted, "preprocess": str(spec.preprocess)})
    return found


def _spec(entry: ModelEntry, metadata: Mapping[str, str], path: Path) -> ModelSpec:
    """The entry with the architecture that it or the encoder's metadata has."""
    if entry.architecture is not None:
        return with_architecture(entry, entry.architecture)
    try:
        return with_architecture(entry, parse_architecture(metadata["architecture"]))
    except (KeyError, ValueError) as error:
        raise ModelFileError(
            f"{path} does not say its architecture, and the manifest has none for {entry.name}; convert it again, or "
            "name an architecture in the manifest"
        ) from error


@contextlib.contextmanager
def _told_how_to_convert(spec: ModelEntry, precision: str) -> Iterator[None]:
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{error.message}; to convert it: {convert_command(spec, precision)}") from error


def convert_command(spec: ModelEntry, precision: str = "fp32") -> str:
    """The command line that makes a model's pair anew."""
    variant = "" if precision == "fp32" else f" --precision {precision}"
    return f"python -m conversion.convert_model --model-type {spec.name}{variant}"


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a sealed file, after comparing the seal with the content.

    Raises:
        ModelFileError: the file is missing, damaged, or was not written by our conversion.
    """
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise ModelFileError(
                f"{path} has {size / 1e9:.0f} GB; no converted model has over {MAX_FILE_BYTES / 1e9:g}"
            )
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            properties, seal_start = _metadata(content)
            if next(reversed(properties), None) != SEAL:
                raise ModelFileError(f"{path} was not written by this project's conversion")
            if hashlib.sha256(memoryview(content)[:seal_start]).hexdigest() != properties[SEAL]:
                raise ModelFileError(f"{path} is damaged: its content is not what was written")
    except OSError as error:
        raise ModelFileError(f"can't read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelFileError(f"{path} is damaged or not an ONNX file: {error}") from error
    return properties


def seal(content_sha256: str) -> bytes:
    """The bytes to append to an ONNX file whose SHA-256 that is: one more `metadata_props` entry."""
    return metadata_entry(SEAL, content_sha256)


def metadata_entry(key: str, value: str) -> bytes:
    """The bytes of one `metadata_props` entry, which can be appended to an ONNX file."""
    return _record(METADATA_FIELD, _record(1, key.encode()) + _record(2, value.encode()))


def _verified(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing")
    metadata = read_metadata(path)
    if digest := metadata.get("data_sha256"):
        data = data_path(path)
        try:
            whole = sha256_file(data) == digest
        except OSError as error:
            raise ModelFileError(f"can't read {data}: {error.strerror or error}") from error
        if not whole:
            raise ModelFileError(f"{data} is damaged: its content is not what was written")
    return metadata


def _compare(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ModelFileError(f"{path} does not fit: its {key} is {found.get(key)}, not {value}")
    if missing := {"pair_id", "source_sha256"} - set(found):
        raise ModelFileError(f"{path} does not say its {min(missing)}")


def _metadata(content: mmap.mmap) -> tuple[dict[str, str], int]:
    """All `metadata_props` in order, and where the last one begins."""
    properties: dict[str, str] = {}
    last = 0
    for field, start, value_start, end in _fields(content, 0, len(content)):
        if field == METADATA_FIELD:
            entry = {key: content[at:stop].decode() for key, _, at, stop in _fields(content, value_start, end)}
            name = entry.get(1, "")
            properties.pop(name, None)
            properties[name] = entry.get(2, "")
            last = start if end == len(content) else last
    return properties, last


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number, start of the record, start of its value, end) of each field of one protobuf message.

    Raises:
        ValueError: the bytes are no protobuf message.
    """
    while start < end:
        tag, value_start = _varint(content, start, end)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, value_start = _varint(content, value_start, end)
            stop = value_start + length
        elif kind in _FIXED_SIZES:
            stop = value_start + _FIXED_SIZES[kind]
        elif kind == 0:
            _, stop = _varint(content, value_start, end)
        else:
            raise ValueError(f"unknown wire type {kind}")
        if stop > end:
            raise ValueError("truncated")
        yield tag >> 3, start, value_start, stop
        start = stop


def _varint(content: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """(value, position behind it)."""
    value = 0
    for position in range(start, min(start + 10, end)):
        byte = content[position]
        value |= (byte & 0x7F) << (7 * (position - start))
        if byte < 0x80:
            return value, position + 1
    raise ValueError("truncated")


def _record(field: int, value: bytes) -> bytes:
    return _encode(field << 3 | _LENGTH_DELIMITED) + _encode(len(value)) + value


def _encode(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
