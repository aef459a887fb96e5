"""Only whole files of one checkpoint are accepted; everything else gets one line that says how to convert."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import tiny_pair

from segmentation.backends.onnx.files import OnnxPair, pair_paths, read_metadata, seal, verify_pair
from segmentation.errors import ModelFileError
from segmentation.weights.manifest import ModelSpec

SPEC = tiny_pair.SPEC
COMMAND = "python -m conversion.convert_model --model-type tiny"


@pytest.fixture
def copy(pair: OnnxPair, tmp_path: Path) -> Path:
    """A folder with a pair that a test may damage."""
    return Path(shutil.copytree(pair.encoder.parent, tmp_path / "onnx"))


def refusal(folder: Path, spec: ModelSpec = SPEC, precision: str = "fp32") -> str:
    with pytest.raises(ModelFileError) as caught:
        verify_pair(folder, spec, precision)
    message = caught.value.message
    assert "\n" not in message
    assert message.endswith(f"to convert it: {COMMAND}" + ("" if precision == "fp32" else f" --precision {precision}"))
    return message


def reseal(path: Path, **changes: str) -> None:
    """Rewrites metadata as a conversion with other facts would have."""
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props} | changes
    del metadata["content_sha256"]
    onnx.helper.set_model_props(model, metadata)
    content = model.SerializeToString()
    path.write_bytes(content + seal(hashlib.sha256(content).hexdigest()))


def test_a_pair_is_read_with_all_its_facts(pair: OnnxPair, checkpoint: Path) -> None:
    facts = pair.encoder_metadata
    assert facts["model_type"] == "tiny"
    assert facts["kind"] == "encoder"
    assert facts["precision"] == "fp32"
    assert facts["image_size"] == "128"
    assert facts["embedding_shape"] == "256, 8, 8"
    assert facts["source_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert pair.decoder_metadata["kind"] == "decoder"
    assert pair.pair_id == pair.decoder_metadata["pair_id"]


def test_our_reader_finds_what_the_onnx_package_finds(pair: OnnxPair) -> None:
    expected = {entry.key: entry.value for entry in onnx.load(pair.encoder).metadata_props}
    assert read_metadata(pair.encoder) == expected
    assert list(expected)[-1] == "content_sha256"


def test_names_say_the_precision_unless_it_is_fp32() -> None:
    assert [path.name for path in pair_paths(Path(), "vit_b")] == ["sam_vit_b_encoder.onnx", "sam_vit_b_decoder.onnx"]
    assert pair_paths(Path(), "vit_b", "int8")[0].name == "sam_vit_b_encoder.int8.onnx"


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_missing_file(copy: Path, part: str) -> None:
    (copy / f"sam_tiny_{part}.onnx").unlink()
    assert f"sam_tiny_{part}.onnx is missing" in refusal(copy)


def test_another_precision_is_another_file(copy: Path) -> None:
    assert "sam_tiny_encoder.int8.onnx is missing" in refusal(copy, precision="int8")


@pytest.mark.parametrize("length", [0, 1, 100, 5_000, -1, -10, -150, -1000])
def test_a_truncated_file(copy: Path, length: int) -> None:
    path = copy / "sam_tiny_encoder.onnx"
    path.write_bytes(path.read_bytes()[:length])
    refusal(copy)


def test_a_longer_file(copy: Path) -> None:
    path = copy / "sam_tiny_encoder.onnx"
    whole = path.read_bytes()
    for extra in (b"\x00", onnx.ModelProto(doc_string="more").SerializeToString()):
        path.write_bytes(whole + extra)
        assert "is damaged" in refusal(copy)


@pytest.mark.parametrize("place", [*(step / 16 for step in range(16)), 0.99999])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_one_changed_bit_anywhere(copy: Path, part: str, place: float) -> None:
    path = copy / f"sam_tiny_{part}.onnx"
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    refusal(copy)


def test_a_changed_fact_with_the_old_seal(copy: Path) -> None:
    path = copy / "sam_tiny_encoder.onnx"
    path.write_bytes(path.read_bytes().replace(b"256, 8, 8", b"256, 9, 9"))
    assert "is damaged" in refusal(copy)


@pytest.mark.parametrize("content", [b"not an ONNX file at all", b"\xff" * 64, bytes(64)])
def test_a_foreign_file(copy: Path, content: bytes) -> None:
    (copy / "sam_tiny_decoder.onnx").write_bytes(content)
    refusal(copy)


def test_an_onnx_file_of_someone_else(copy: Path) -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.save(model, copy / "sam_tiny_decoder.onnx")
    assert "was not written by this project's conversion" in refusal(copy)


def test_a_folder_in_place_of_a_file(copy: Path) -> None:
    path = copy / "sam_tiny_decoder.onnx"
    path.unlink()
    path.mkdir()
    refusal(copy)


def test_files_of_two_checkpoints(copy: Path, tmp_path: Path) -> None:
    other = tiny_pair.convert(tiny_pair.save_checkpoint(tmp_path / "other.pth", seed=1), tmp_path / "other")
    shutil.copy(other.decoder, copy)
    assert "come from different checkpoints" in refusal(copy)


def test_encoder_and_decoder_exchanged(copy: Path) -> None:
    shutil.copy(copy / "sam_tiny_encoder.onnx", copy / "sam_tiny_decoder.onnx")
    assert "its kind is encoder, not decoder" in refusal(copy)


def test_a_file_of_another_model_type(copy: Path) -> None:
    reseal(copy / "sam_tiny_encoder.onnx", model_type="vit_b")
    assert "its model_type is vit_b, not tiny" in refusal(copy)


def test_a_file_of_another_architecture(copy: Path) -> None:
    wide = replace(SPEC, architecture=replace(SPEC.architecture, image_size=256))
    assert "its image_size is 128, not 256" in refusal(copy, wide)


@pytest.mark.parametrize(("part", "version", "wanted"), [("encoder", "1", 2), ("encoder", "3", 2), ("decoder", "2", 3)])
def test_a_file_of_another_format(copy: Path, part: str, version: str, wanted: int) -> None:
    reseal(copy / f"sam_tiny_{part}.onnx", format_version=version)
    assert f"its format_version is {version}, not {wanted}" in refusal(copy)


def test_a_precision_that_the_name_does_not_say(copy: Path) -> None:
    reseal(copy / "sam_tiny_encoder.onnx", precision="int8")
    assert "its precision is int8, not fp32" in refusal(copy)


def test_a_pair_of_a_checkpoint_that_is_not_the_manifests_is_whole(copy: Path, checkpoint: Path) -> None:
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert verify_pair(copy, SPEC).source_is_manifest
    assert verify_pair(copy, replace(SPEC, sha256=digest.upper())).source_is_manifest
    assert not verify_pair(copy, replace(SPEC, sha256="0" * 64)).source_is_manifest


@pytest.fixture
def external(checkpoint: Path, tmp_path: Path) -> OnnxPair:
    return tiny_pair.convert(checkpoint, tmp_path / "external", largest_embedded=1000)


def test_weights_beside_the_file_count(external: OnnxPair) -> None:
    data = external.encoder.with_name("sam_tiny_encoder.onnx.data")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert "sam_tiny_encoder.onnx.data is damaged" in refusal(data.parent)
    data.write_bytes(content[:-1])
    assert "sam_tiny_encoder.onnx.data is damaged" in refusal(data.parent)
    data.unlink()
    assert "can't read" in refusal(data.parent)
