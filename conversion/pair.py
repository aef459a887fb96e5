"""Writes the ONNX pair of one checkpoint: whole or not at all, sealed, and only after a check has passed.

Knows files; what is in the graphs is told by `encoder_graph` and `decoder_graph`.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from onnx import ModelProto, helper

from conversion.decoder_graph import build_decoder
from conversion.encoder_graph import build_encoder
from conversion.graph import Graph
from conversion.initializers import Embedded, External, InitializerStore
from conversion.weights import Weights
from segmentation.backends.onnx.files import (
    FORMAT_VERSIONS,
    architecture_facts,
    data_path,
    make_pair_id,
    metadata_entry,
    pair_paths,
    seal,
)
from segmentation.errors import ConfigurationError
from segmentation.weights.architecture import Architecture, format_architecture
from segmentation.weights.manifest import ModelSpec

LARGEST_EMBEDDED = 1 << 26
"""Bytes of weights that are still kept inside the ONNX file, of which ONNX Runtime holds them twice; a data file beside
it is mapped."""

Check = Callable[[Path, Path], Mapping[str, str] | None]
"""Takes the finished (encoder, decoder) before they are put in place; raises if they may not be. What it found out is
added to the encoder's metadata."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint: its tensors, and the SHA-256 of the file they came from."""

    state: Mapping[str, torch.Tensor]
    sha256: str


def write_pair(
    spec: ModelSpec,
    source: Source,
    onnx_dir: Path,
    check: Check,
    *,
    precision: str = "fp32",
    largest_embedded: int = LARGEST_EMBEDDED,
) -> tuple[Path, Path]:
    """Converts a checkpoint and puts (encoder, decoder) into `onnx_dir`, which is made if need be.

    Files are written, flushed to the disk and checked in a hidden folder of `onnx_dir`, then renamed into place, the
    encoder last. However it ends, the folder is removed; what a killed process left is removed by the next one.

    Raises:
        ConfigurationError: another conversion into this folder is running.
        OSError: the files can't be written.
    """
    with _staging(onnx_dir) as staging:
        finished = pair_paths(onnx_dir, spec.name, precision)
        encoder, decoder = pair_paths(staging, spec.name, precision)
        facts = {
            "model_type": spec.name,
            "source_sha256": source.sha256,
            "pair_id": make_pair_id(spec.name, source.sha256),
            **architecture_facts(spec.architecture),
            "architecture": format_architecture(spec.architecture),
        }
        encode = partial(build_encoder, precision=precision)
        for path, kind, build, precise in (
            (decoder, "decoder", build_decoder, "fp32"),
            (encoder, "encoder", encode, precision),
        ):
            metadata = {"format_version": FORMAT_VERSIONS[kind, precise], **facts, "kind": kind, "precision": precise}
            _write(path, build, source.state, spec.architecture, metadata, largest_embedded)
        if findings := check(encoder, decoder):
            _add_metadata(encoder, findings)
        for made, place in zip((decoder, encoder), reversed(finished), strict=True):
            if data_path(made).exists():
                data_path(made).replace(data_path(place))
            made.replace(place)
        _flush(onnx_dir)
    return finished


def _write(
    path: Path,
    build: Callable[[Graph, Weights, Architecture], None],
    state: Mapping[str, torch.Tensor],
    architecture: Architecture,
    metadata: dict[str, str],
    largest_embedded: int,
) -> None:
    def built(store: InitializerStore) -> ModelProto:
        graph = Graph(path.stem, store)
        build(graph, Weights(state), architecture)
        return graph.model()

    part = "image_encoder." if metadata["kind"] == "encoder" else ""
    size = sum(tensor.nbytes for name, tensor in state.items() if part and name.startswith(part))
    if size > largest_embedded:
        with data_path(path).open("wb") as file:
            store = External(file, data_path(path).name)
            model = built(store)
            file.flush()
            os.fsync(file.fileno())
        metadata = {**metadata, "data_sha256": store.sha256}
    else:
        model = built(Embedded())
    helper.set_model_props(model, metadata)
    _write_sealed(path, model.SerializeToString())


def _add_metadata(path: Path, entries: Mapping[str, str]) -> None:
    """Adds entries before the seal of a finished file, and seals it again."""
    content = path.read_bytes()
    unsealed = content[: len(content) - len(seal("0" * 64))]
    _write_sealed(path, unsealed + b"".join(metadata_entry(key, value) for key, value in entries.items()))


def _write_sealed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.write(seal(hashlib.sha256(content).hexdigest()))
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _staging(onnx_dir: Path) -> Iterator[Path]:
    """A fresh hidden folder, removed at the end. A lock on `onnx_dir`, which the kernel releases, keeps it ours."""
    onnx_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(onnx_dir, os.O_RDONLY)
    staging = onnx_dir / ".converting"
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another conversion is writing to {onnx_dir}; wait for it") from None
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    """Makes renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
