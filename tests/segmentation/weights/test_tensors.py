"""Reading PyTorch files that may be anything, and filling modules strictly."""

import pickle
from pathlib import Path

import pytest
import torch
from oracle import random_sam

from segmentation.errors import ModelFileError
from segmentation.weights.tensors import load_into, load_state_dict, read_tensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Bomb:
    """Unpickling it would make a file: proof that code ran."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def saved(path: Path, content: object, *, as_zip: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    return path


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_state_dict_comes_back(tmp_path: Path, as_zip: bool) -> None:
    state = read_tensors(saved(tmp_path / "x.pth", STATE, as_zip=as_zip))
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_pickled_code_is_not_run(tmp_path: Path, as_zip: bool) -> None:
    mark = tmp_path / "ran"
    path = saved(tmp_path / "x.pth", {**STATE, "bomb": Bomb(mark)}, as_zip=as_zip)
    with pytest.raises(ModelFileError, match=r"objects other than tensors.*, which are not loaded"):
        load_state_dict(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the bomb is a dud, so the test proves nothing"


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file(tmp_path: Path, kept: float, as_zip: bool) -> None:
    path = saved(tmp_path / "x.pth", {"w": torch.ones(1000)}, as_zip=as_zip)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ModelFileError, match="not a PyTorch checkpoint") as caught:
        load_state_dict(path)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    "content",
    [b"\x08\x07onnx", b"<!doctype html>" * 50, b"PK\x03\x04" + b"\0" * 100, pickle.dumps([1, 2])],
    ids=["onnx", "html", "zip", "pickle"],
)
def test_foreign_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="PyTorch checkpoint"):
        load_state_dict(path)


@pytest.mark.parametrize(
    "content", [torch.ones(3), [torch.ones(3)], {}, {"w": 1}, {"w": {"v": {}}}, {1: torch.ones(1)}]
)
def test_other_content(tmp_path: Path, content: object) -> None:
    with pytest.raises(ModelFileError, match="holds no state dict"):
        load_state_dict(saved(tmp_path / "x.pth", content))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"can't read .*x\.pth: No such file"):
        load_state_dict(tmp_path / "x.pth")


def test_fills_a_sam_exactly(tmp_path: Path) -> None:
    source, target = random_sam(seed=1), random_sam(seed=2)
    load_into(target, load_state_dict(saved(tmp_path / "x.pth", source.state_dict())), source="x.pth")
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in source.state_dict().items())


def test_prefix_fills_a_part() -> None:
    source, target = random_sam(seed=1), random_sam(seed=2).mask_decoder
    load_into(target, source.state_dict(), prefix="mask_decoder.", source="x.pth")
    wanted = source.mask_decoder.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in target.state_dict().items())


def test_half_precision_weights_fill_a_float32_module() -> None:
    module = torch.nn.Linear(3, 2)
    load_into(module, {"weight": torch.full((2, 3), 0.1).half(), "bias": torch.zeros(2).half()}, source="x.pth")
    assert module.weight.dtype == torch.float32
    assert module.weight[0, 0].item() == torch.tensor(0.1).half().float().item()


def test_misfit_is_named_and_nothing_is_copied() -> None:
    module = torch.nn.Sequential(*(torch.nn.Linear(3, 2) for _ in range(4)))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = {"0.weight": torch.ones(2, 3), "1.weight": torch.ones(3, 2), "extra": torch.ones(1)}
    with pytest.raises(ModelFileError) as caught:
        load_into(module, state, source="x.pth")
    assert caught.value.message == (
        "x.pth does not fit the architecture of this model type: tensors 6 missing (0.bias, 1.bias, 2.weight, ...); "
        "1 unexpected (extra); 1 of another shape (1.weight (3, 2), not (2, 3))"
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
