"""A pair appears whole or not at all, however the conversion ends."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_pair
import torch
from oracle import TINY

from conversion.pair import Check
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.files import verify_pair
from segmentation.errors import ConfigurationError, ModelFileError
from segmentation.types import PromptTokens

PAIR = {"sam_tiny_encoder.onnx", "sam_tiny_decoder.onnx"}


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stop(encoder: Path, decoder: Path) -> None:
    assert encoder.stat().st_size
    assert decoder.stat().st_size
    raise KeyboardInterrupt


def test_only_the_pair_is_left(checkpoint: Path, tmp_path: Path) -> None:
    tiny_pair.convert(checkpoint, tmp_path)
    assert set(listing(tmp_path)) == PAIR
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    tiny_pair.convert(checkpoint, tmp_path / "a")
    tiny_pair.convert(checkpoint, tmp_path / "b")
    assert listing(tmp_path / "a") == listing(tmp_path / "b")


def test_an_interrupted_conversion_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_pair.convert(checkpoint, tmp_path, check=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_conversion_leaves_the_old_pair(
    checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    before = tiny_pair.convert(checkpoint, tmp_path)
    files = listing(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tiny_pair.convert(other_checkpoint, tmp_path, check=stop)
    assert listing(tmp_path) == files
    assert verify_pair(tmp_path, tiny_pair.SPEC) == before


def test_a_conversion_replaces_the_old_pair(checkpoint: Path, other_checkpoint: Path, tmp_path: Path) -> None:
    before = tiny_pair.convert(checkpoint, tmp_path)
    after = tiny_pair.convert(other_checkpoint, tmp_path)
    assert after.pair_id != before.pair_id
    assert set(listing(tmp_path)) == PAIR


def test_until_the_encoder_is_there_the_pair_is_refused(
    checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    old = tiny_pair.convert(checkpoint, tmp_path)
    new = tiny_pair.convert(other_checkpoint, tmp_path / "new")
    new.decoder.replace(old.decoder)
    with pytest.raises(ModelFileError, match="different checkpoints"):
        verify_pair(tmp_path, tiny_pair.SPEC)


KILLED = """
import signal, sys, time
from pathlib import Path
import tiny_pair

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

def wait(encoder, decoder):
    print("written", flush=True)
    time.sleep(60)

try:
    tiny_pair.convert(Path(sys.argv[1]), Path(sys.argv[2]), check=wait)
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_conversion(checkpoint: Path, onnx_dir: Path) -> "subprocess.Popen[str]":
    """A conversion in a process of its own, which stays before its last step."""
    root = Path(__file__).parents[2]
    search = os.pathsep.join([str(root), str(root / "tests" / "support")])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(checkpoint), str(onnx_dir)],
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def test_an_interrupted_process_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    with start_conversion(checkpoint, tmp_path) as process:
        assert set(listing(tmp_path)) == {f".converting/{name}" for name in PAIR}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(checkpoint: Path, tmp_path: Path) -> None:
    with start_conversion(checkpoint, tmp_path) as process:
        process.kill()
        process.wait(30)
    assert (tmp_path / ".converting").is_dir()
    with pytest.raises(ModelFileError, match="is missing"):
        verify_pair(tmp_path, tiny_pair.SPEC)
    tiny_pair.convert(checkpoint, tmp_path)
    assert set(listing(tmp_path)) == PAIR


def test_two_conversions_at_once(checkpoint: Path, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another conversion is writing"):
            tiny_pair.convert(checkpoint, tmp_path)
    finally:
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("largest_embedded", [0, 10**9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_every_way_of_keeping_weights_computes_the_same(
    tmp_path: Path, dtype: torch.dtype, largest_embedded: int
) -> None:
    source = tiny_pair.save_checkpoint(tmp_path / "tiny.pth", dtype=dtype)
    rounded = tiny_pair.save_checkpoint(tmp_path / "rounded.pth", dtype=dtype)
    state = torch.load(rounded, weights_only=True)
    torch.save({name: tensor.float() for name, tensor in state.items()}, rounded)
    ours = tiny_pair.convert(source, tmp_path / "ours", largest_embedded=largest_embedded)
    plain = tiny_pair.convert(rounded, tmp_path / "plain")
    images = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    sizes = np.array([[128, 100]])
    embeddings = [OnnxEncoder(pair.encoder, TINY).encode(images, sizes) for pair in (ours, plain)]
    np.testing.assert_allclose(*embeddings, atol=1e-5)
    tokens = PromptTokens(np.full((1, 1, 2), 60, np.float32), np.ones((1, 1), np.int64))
    decoders = [OnnxDecoder(pair.decoder, TINY) for pair in (ours, plain)]
    logits = [decoder.decode(decoder.prepare(embeddings[0][0]), tokens).logits for decoder in decoders]
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_half_precision_weights_stay_half_the_size(tmp_path: Path) -> None:
    sizes = []
    for dtype in (torch.float16, torch.float32):
        source = tiny_pair.save_checkpoint(tmp_path / f"{dtype}.pth", dtype=dtype)
        pair = tiny_pair.convert(source, tmp_path / str(dtype))
        sizes.append(
            sum(tensor.nbytes for tensor in map(onnx.numpy_helper.to_array, onnx.load(pair.decoder).graph.initializer))
        )
    assert sizes[0] < 0.6 * sizes[1]


def test_large_weights_are_beside_the_file(checkpoint: Path, tmp_path: Path) -> None:
    pair = tiny_pair.convert(checkpoint, tmp_path, largest_embedded=0)
    data = tmp_path / "sam_tiny_encoder.onnx.data"
    assert set(listing(tmp_path)) == {*PAIR, data.name}
    onnx.checker.check_model(str(pair.encoder))
    model = onnx.load(pair.encoder, load_external_data=False)
    slots = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    assert slots
    assert {place["location"] for place in slots} == {data.name}
    assert all(int(place["offset"]) % 4096 == 0 for place in slots)
    assert max(int(place["offset"]) + int(place["length"]) for place in slots) == data.stat().st_size


def test_the_checkers_of_onnx_accept_both_graphs(checkpoint: Path, tmp_path: Path) -> None:
    pair = tiny_pair.convert(checkpoint, tmp_path)
    for path in (pair.encoder, pair.decoder):
        onnx.checker.check_model(str(path), full_check=True)


def test_a_check_that_raises_keeps_the_pair_away(checkpoint: Path, tmp_path: Path) -> None:
    def refuse(encoder: Path, decoder: Path) -> None:
        raise ValueError("no")

    refusing: Check = refuse
    with pytest.raises(ValueError, match="no"):
        tiny_pair.convert(checkpoint, tmp_path, check=refusing)
    assert list(tmp_path.iterdir()) == []
