"""The two commands: what they print, what they leave, how they exit."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_pair
import torch
from cpu_units import needs_bf16, needs_int8
from segment_anything.modeling import Sam

import conversion
from conversion import convert_model, convert_to_onnx
from conversion.convert_to_onnx import ParityError, convert
from conversion.verify import Finding
from segmentation.backends.onnx.files import verify_pair
from segmentation.errors import ConfigurationError, ModelFileError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with the tiny model's checkpoint and manifest, which the settings point to."""
    for name in [name for name in os.environ if name.startswith("SAM_")]:
        monkeypatch.delenv(name)
    model = tmp_path / "model"
    model.mkdir()
    (model / "manifest.toml").write_text(tiny_pair.MANIFEST)
    (model / "tiny.pth").write_bytes(checkpoint.read_bytes())
    monkeypatch.setenv("SAM_MODEL_DIR", str(model))
    monkeypatch.setenv("SAM_ONNX_DIR", str(tmp_path / "onnx"))
    monkeypatch.setenv("SAM_MODEL_TYPE", "tiny")
    return tmp_path


def stamp(folder: Path) -> dict[str, int]:
    """Each file's inode: a file that was replaced has another."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_convert_model_finds_converts_and_checks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_model.main([]) == 0
    pair = verify_pair(home / "onnx", tiny_pair.SPEC)
    out = capsys.readouterr().out
    assert "logits of points and box, three masks" in out
    assert f"wrote {pair.encoder}" in out
    assert "TOO LARGE" not in out


def test_a_pair_that_is_there_is_kept_unless_forced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_model.main([]) == 0
    before = stamp(home / "onnx")
    capsys.readouterr()
    assert convert_model.main([]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert stamp(home / "onnx") == before
    assert convert_model.main(["--force"]) == 0
    after = stamp(home / "onnx")
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


def test_a_pair_without_its_checkpoint_is_enough(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_model.main([]) == 0
    (home / "model" / "tiny.pth").unlink()
    assert convert_model.main([]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert convert_model.main(["--force"]) == 2
    assert "tiny.pth is missing" in last_error(capsys)


def test_a_damaged_pair_is_converted_again(home: Path) -> None:
    assert convert_model.main([]) == 0
    encoder = home / "onnx" / "sam_tiny_encoder.onnx"
    encoder.write_bytes(encoder.read_bytes()[:-7])
    assert convert_model.main([]) == 0
    verify_pair(home / "onnx", tiny_pair.SPEC)


def test_convert_to_onnx_takes_any_checkpoint_and_folder(home: Path, other_checkpoint: Path) -> None:
    target = home / "elsewhere"
    arguments = ["--checkpoint", str(other_checkpoint), "--model-type", "tiny", "--output-dir", str(target)]
    assert convert_to_onnx.main(arguments) == 0
    verify_pair(target, tiny_pair.SPEC)
    assert not (home / "onnx").exists()


def test_a_pair_of_another_checkpoint_is_not_replaced_by_accident(
    home: Path, other_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert_model.main([]) == 0
    before = stamp(home / "onnx")
    assert convert_to_onnx.main(["--checkpoint", str(other_checkpoint)]) == 2
    assert "comes from another checkpoint; --force replaces it" in last_error(capsys)
    assert stamp(home / "onnx") == before
    assert convert_to_onnx.main(["--checkpoint", str(other_checkpoint), "--force"]) == 0
    assert stamp(home / "onnx") != before


@pytest.mark.parametrize("command", ["convert_model", "convert_to_onnx"])
def test_a_precision_that_can_not_be_made(home: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = {"convert_model": convert_model.main, "convert_to_onnx": convert_to_onnx.main}[command]
    extra = ["--checkpoint", str(home / "model" / "tiny.pth")] if command == "convert_to_onnx" else []
    assert main([*extra, "--precision", "fp8"]) == 2
    assert "--precision fp8 can't be converted to; choose fp32, int8" in last_error(capsys)


def test_a_precision_is_refused_before_a_checkpoint_is_looked_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "model" / "tiny.pth").unlink()
    assert convert_model.main(["--precision", "fp8"]) == 2
    assert "--precision fp8 can't be converted to" in last_error(capsys)


def test_int8_is_not_converted_where_its_quality_can_not_be_measured(home: Path, checkpoint: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"computes int8 products wrong.*convert on one with them"):
        convert(checkpoint, tiny_pair.SPEC, home / "onnx", precision="int8", flags=lambda: frozenset({"avx2"}))
    assert not (home / "onnx").exists()


@pytest.mark.parametrize(
    ("precision", "largest_error", "least_iou"),
    [
        ("fp32", 1e-4, 0.999),
        pytest.param("int8", 0.03, 0.9, marks=needs_int8),
        pytest.param("bf16", 0.03, 0.9, marks=needs_bf16),
    ],
)
def test_each_file_carries_and_prints_its_quality(
    home: Path, precision: str, largest_error: float, least_iou: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert_model.main(["--precision", precision]) == 0
    quality = verify_pair(home / "onnx", tiny_pair.SPEC, precision).quality
    assert quality is not None
    assert str(quality) in capsys.readouterr().out
    assert quality.masks >= 200
    assert quality.embedding_error <= largest_error
    assert quality.mask_iou >= least_iou


@needs_int8
def test_a_precision_more_leaves_the_others_in_use(home: Path) -> None:
    assert convert_model.main([]) == 0
    before = verify_pair(home / "onnx", tiny_pair.SPEC)
    assert convert_model.main(["--precision", "int8"]) == 0
    assert verify_pair(home / "onnx", tiny_pair.SPEC) == before
    assert verify_pair(home / "onnx", tiny_pair.SPEC, "int8").pair_id == before.pair_id


@needs_int8
def test_a_precision_of_another_checkpoint_does_not_take_the_decoder_away(
    home: Path, other_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert_model.main([]) == 0
    before = stamp(home / "onnx")
    assert convert_to_onnx.main(["--checkpoint", str(other_checkpoint), "--precision", "int8"]) == 2
    assert "sam_tiny_decoder.onnx comes from another checkpoint" in last_error(capsys)
    assert stamp(home / "onnx") == before


def test_an_unknown_model_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_model.main(["--model-type", "vit_x"]) == 2
    assert "unknown model type 'vit_x'" in last_error(capsys)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half"])
def test_a_file_that_is_no_checkpoint(home: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    bad = home / "bad.pth"
    bad.write_bytes(content)
    assert convert_to_onnx.main(["--checkpoint", str(bad)]) == 2
    assert "bad.pth" in last_error(capsys)
    assert not (home / "onnx").exists()


def test_a_missing_checkpoint(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_to_onnx.main(["--checkpoint", str(home / "none.pth")]) == 2
    assert "none.pth is missing" in last_error(capsys)


def test_a_checkpoint_of_another_architecture(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--checkpoint", str(home / "model" / "tiny.pth"), "--model-type", "demo"]
    assert convert_to_onnx.main(arguments) == 2
    assert "is not demo (width 192, 8 blocks" in last_error(capsys)
    assert not (home / "onnx").exists()


def test_a_checkpoint_with_a_tensor_less(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "model" / "tiny.pth"
    state = torch.load(path, weights_only=True)
    del state["image_encoder.neck.2.weight"]
    torch.save(state, path)
    assert convert_model.main([]) == 2
    assert "1 missing (image_encoder.neck.2.weight)" in last_error(capsys)


@pytest.mark.parametrize("error", [2e-4, float("nan"), float("inf")])
def test_a_pair_that_differs_from_pytorch_is_thrown_away(home: Path, error: float) -> None:
    def differs(encoder: Path, decoder: Path, *arguments: object, **options: object) -> Iterator[Finding]:
        assert encoder.is_file()
        assert decoder.is_file()
        yield Finding("everything", 1e-7)
        yield Finding("one thing", error)

    lines: list[str] = []
    with pytest.raises(ParityError, match=r"1 errors are above 0\.0001"):
        convert(home / "model" / "tiny.pth", tiny_pair.SPEC, home / "onnx", say=lines.append, compare=differs)
    assert list((home / "onnx").iterdir()) == []
    assert sum("TOO LARGE" in line for line in lines) == 1


def test_errors_of_each_kind_become_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: BaseException) -> int:
        def work() -> None:
            raise error

        return convert_to_onnx.run(work)

    assert raising(ConfigurationError("a")) == 2
    assert raising(ModelFileError("b")) == 2
    assert raising(ParityError("c")) == 1
    assert raising(OSError(28, "No space left on device")) == 2
    assert raising(KeyboardInterrupt()) == 130
    assert len(capsys.readouterr().err.splitlines()) == 5
    assert convert_to_onnx.run(lambda: None) == 0


def test_load_sam_gives_the_checkpoints_model(checkpoint: Path) -> None:
    sam = conversion.load_sam("tiny")
    assert isinstance(sam, Sam)
    assert not sam.training
    state = torch.load(checkpoint, weights_only=True)
    assert sam.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in sam.state_dict().items())
    assert sam.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
