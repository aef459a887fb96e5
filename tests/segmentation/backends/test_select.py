import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cpu_units import needs_bf16, needs_int8
from tiny_pair import MANIFEST, SPEC, convert, save_checkpoint

from conversion.pair import Source, write_pair
from deployments.preflight import main, read_config
from deployments.settings.server import Settings, resolve
from segmentation.backends.onnx.files import pair_paths
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.quality import Quality, record_path, to_metadata, write_record
from segmentation.backends.select import plan_runtime
from segmentation.errors import ConfigurationError
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.tensors import load_state_dict

VNNI = frozenset({"avx512_vnni"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny`'s checkpoint, and its pair under `onnx/`."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "manifest.toml").write_text(MANIFEST)
    convert(save_checkpoint(folder / "tiny.pth"), folder / "onnx")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy that a test may damage."""
    for path in made.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(made)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def settings_for(folder: Path, **values: object) -> Settings:
    args = {"model_type": "tiny", "model_dir": str(folder), "onnx_dir": str(folder / "onnx"), **values}
    return resolve({}, args).settings


def without(*missing: str) -> Callable[[str], bool]:
    return lambda name: name not in missing


def pair_of(folder: Path) -> tuple[Path, Path]:
    return pair_paths(folder / "onnx", "tiny")


def test_auto_takes_a_whole_pair_and_knows_the_checkpoint_is_there_too(folder: Path) -> None:
    plan = plan_runtime(settings_for(folder), distributed=without("onnxruntime-gpu"))
    assert (plan.backend, plan.onnx_available, plan.pytorch_available) == ("onnx", True, True)


@pytest.mark.parametrize("broken", ["encoder", "decoder"])
@pytest.mark.parametrize("how", ["missing", "truncated", "tampered", "half-written"])
def test_auto_never_takes_a_pair_that_is_not_whole(folder: Path, broken: str, how: str) -> None:
    path = pair_of(folder)[broken == "decoder"]
    content = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "tampered":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "half-written":
        path.with_suffix(".onnx.tmp").write_bytes(content)
    plan = plan_runtime(settings_for(folder))
    assert (plan.backend, plan.onnx_available) == ("pytorch", False)
    assert path.name in plan.findings[0]
    with pytest.raises(ConfigurationError, match=r"python -m conversion\.convert_model --model-type tiny"):
        plan_runtime(settings_for(folder, backend="onnx"))


def test_auto_says_what_to_do_when_nothing_can_run(folder: Path) -> None:
    pair_of(folder)[0].unlink()
    with pytest.raises(ConfigurationError, match=r"extra 'pytorch'; or, for ONNX: .*convert_model --model-type tiny"):
        plan_runtime(settings_for(folder), installed=without("torch"))


def test_without_torch_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="torch, torchvision and segment-anything are not installed"):
        plan_runtime(settings_for(tmp_path, model_type="vit_b"), installed=without("torch"))
    assert not list(tmp_path.iterdir())


def test_a_whole_pair_without_onnxruntime_falls_to_pytorch(folder: Path) -> None:
    plan = plan_runtime(settings_for(folder), installed=without("onnxruntime"))
    assert (plan.backend, plan.onnx_available) == ("pytorch", False)
    with pytest.raises(ConfigurationError, match="SAM_BACKEND=onnx: onnxruntime is not installed"):
        plan_runtime(settings_for(folder, backend="onnx"), installed=without("onnxruntime"))


def test_pytorch_needs_its_modules(folder: Path) -> None:
    for module in ("torch", "torchvision", "segment_anything"):
        with pytest.raises(ConfigurationError, match="install the extra 'pytorch'"):
            plan_runtime(settings_for(folder, backend="pytorch"), installed=without(module))


def test_a_missing_checkpoint_is_a_finding_before_it_is_a_download(tmp_path: Path) -> None:
    plan = plan_runtime(settings_for(tmp_path, model_type="vit_b", backend="pytorch"), download=False)
    assert plan.pytorch_available is False
    assert plan.findings == (
        "sam_vit_b_01ec64.pth is missing: the start will download it "
        "(375 MB, https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth)",
    )


def test_a_missing_checkpoint_of_ones_own_says_where_it_belongs(folder: Path) -> None:
    (folder / "tiny.pth").unlink()
    with pytest.raises(ConfigurationError, match=r"tiny\.pth is missing"):
        plan_runtime(settings_for(folder, backend="pytorch"))


def test_both_onnx_runtimes_stop_the_start(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="uninstall both, install one"):
        plan_runtime(settings_for(folder), distributed=lambda name: True)


@pytest.mark.parametrize(
    ("asked", "device", "says"),
    [
        ({"precision": "fp16"}, "cpu", "fp16 can't be run on a CPU; it is for pytorch on a GPU. Here run fp32 on onnx"),
        ({"precision": "fp16", "use_gpu": False}, None, "fp16 can't be run on a CPU;"),
        ({"precision": "int8"}, "cuda", "int8 can't be run on a GPU; it is for onnx on a CPU. Here run fp32 on onnx"),
        ({"precision": "int8", "backend": "pytorch"}, "cpu", "SAM_BACKEND=pytorch on a CPU.*Here run fp32 on pytorch"),
        (
            {"precision": "bf16", "backend": "onnx"},
            "cpu",
            "SAM_BACKEND=onnx on a CPU without AVX512-BF16 and AMX;.*int8 on onnx",
        ),
    ],
)
def test_a_precision_that_can_not_run_names_what_can(
    folder: Path, asked: dict[str, object], device: str | None, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        plan_runtime(settings_for(folder, **asked), device=device, flags=lambda: VNNI)


def test_int8_without_its_matrix_units_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="on a CPU without VNNI and AMX;"):
        plan_runtime(settings_for(folder, precision="int8"), device="cpu", flags=lambda: frozenset({"avx2"}))


def add_int8(folder: Path, mask_iou: float | None) -> Path:
    """Adds an int8 encoder with that record, or with none."""
    record = None if mask_iou is None else to_metadata(Quality(0.01, mask_iou, 100, "one"))
    source = Source(load_state_dict(folder / "tiny.pth"), sha256_file(folder / "tiny.pth"))
    return write_pair(SPEC, source, folder / "onnx", lambda *files: record, precision="int8")[0]


@pytest.mark.parametrize(("mask_iou", "taken"), [(0.99, "int8"), (0.97, "fp32"), (None, "fp32")])
def test_precision_auto_takes_int8_only_with_a_good_record(folder: Path, mask_iou: float | None, taken: str) -> None:
    add_int8(folder, mask_iou)
    plan = plan_runtime(settings_for(folder, precision="auto"), device="cpu", flags=lambda: VNNI)
    assert (plan.backend, plan.precision) == ("onnx", taken)
    assert any("not in int8" in finding for finding in plan.findings) == (taken == "fp32")
    assert plan_runtime(settings_for(folder, precision="auto"), device="cuda").precision == "fp32"


def test_precision_auto_takes_nothing_that_is_not_there(folder: Path) -> None:
    assert plan_runtime(settings_for(folder, precision="auto"), flags=lambda: VNNI).precision == "fp32"


@needs_int8
def test_int8_is_served_beside_the_decoder_of_fp32(folder: Path) -> None:
    add_int8(folder, 0.5)
    plan = plan_runtime(settings_for(folder, precision="int8"), flags=lambda: VNNI)
    assert plan.quality == Quality(0.01, 0.5, 100, "one")
    assert open_encoder(plan, device="cpu", threads=1).runtime.precision == "int8"
    assert open_decoder(plan, device="cpu", threads=1).runtime.precision == "fp32"


def test_int8_without_its_record_is_not_used(folder: Path) -> None:
    add_int8(folder, None)
    with pytest.raises(ConfigurationError, match=r"has no record of its quality.*--precision int8"):
        plan_runtime(settings_for(folder, precision="int8"), flags=lambda: VNNI)


BF16 = VNNI | {"avx512_bf16"}


def add_bf16(folder: Path, mask_iou: float) -> None:
    """Adds that record of bf16 on OpenVINO."""
    path = record_path(folder / "onnx", "tiny", "bf16", "openvino")
    write_record(path, Quality(0.01, mask_iou, 100, "one"), sha256_file(folder / "tiny.pth"))


@pytest.mark.parametrize(("mask_iou", "taken"), [(0.99, "int8"), (0.97, "bf16")])
def test_precision_auto_takes_int8_before_bf16(folder: Path, mask_iou: float, taken: str) -> None:
    add_int8(folder, mask_iou)
    add_bf16(folder, 0.99)
    settings = settings_for(folder, precision="auto")
    plan = plan_runtime(settings, device="cpu", flags=lambda: BF16)
    assert (plan.backend, plan.precision) == ("onnx", taken)
    assert plan_runtime(settings, device="cpu", flags=lambda: VNNI).precision == ("int8" if taken == "int8" else "fp32")


def test_bf16_runs_on_openvino_where_it_can_and_else_on_pytorch(folder: Path) -> None:
    add_bf16(folder, 0.5)
    settings = settings_for(folder, precision="bf16")
    plans = [
        plan_runtime(settings, device=device, flags=lambda flags=flags: flags)
        for device, flags in (("cpu", BF16), ("cpu", VNNI), ("cuda", BF16))
    ]
    assert [plan.backend for plan in plans] == ["onnx", "pytorch", "pytorch"]


@needs_bf16
def test_bf16_is_served_on_openvino(folder: Path) -> None:
    add_bf16(folder, 0.5)
    plan = plan_runtime(settings_for(folder, precision="bf16"), device="cpu")
    encoder = open_encoder(plan, device="cpu", threads=1)
    assert (encoder.runtime.providers, encoder.runtime.precision) == (("OpenVINO",), "bf16")
    exact = open_encoder(plan_runtime(settings_for(folder), device="cpu"), device="cpu", threads=1)
    side = encoder.architecture.image_size
    picture = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    ours, wanted = (one.encode(picture, np.array([[side, side]])) for one in (encoder, exact))
    # Not exact, or it did not run in bf16 at all.
    assert 1e-4 < np.abs(ours - wanted).max() / np.abs(wanted).max() < 0.1


def test_a_runtime_that_does_not_run_the_precision_is_named(folder: Path) -> None:
    settings = settings_for(folder, precision="bf16", onnx_runtime="onnxruntime", backend="onnx")
    with pytest.raises(ConfigurationError, match="SAM_ONNX_RUNTIME=onnxruntime does not run bf16"):
        plan_runtime(settings, device="cpu", flags=lambda: BF16)


@pytest.mark.parametrize(("mask_iou", "taken"), [(0.99, "bf16"), (0.9, "fp32")])
def test_precision_auto_takes_bf16_by_the_record_beside_the_pair(folder: Path, mask_iou: float, taken: str) -> None:
    path = record_path(folder / "onnx", "tiny", "bf16")
    write_record(path, Quality(0.01, mask_iou, 100, "one"), sha256_file(folder / "tiny.pth"))
    settings = settings_for(folder, precision="auto", backend="pytorch")
    assert plan_runtime(settings, device="cpu").precision == taken
    write_record(path, Quality(0.01, mask_iou, 100, "one"), "0" * 64)
    assert plan_runtime(settings, device="cpu").precision == "fp32"


def test_both_backends_open_and_agree(folder: Path) -> None:
    plans = [plan_runtime(settings_for(folder, backend=backend)) for backend in ("onnx", "pytorch")]
    side = plans[0].spec.architecture.image_size
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    sizes = np.array([[side, side - 9]], np.int64)
    encoders = [open_encoder(plan, device="cpu", threads=1) for plan in plans]
    assert [encoder.runtime.backend for encoder in encoders] == ["onnx", "pytorch"]
    embeddings = [encoder.encode(images, sizes) for encoder in encoders]
    assert np.abs(embeddings[0] - embeddings[1]).max() <= 1e-4 * np.abs(embeddings[1]).max()
    assert [open_decoder(plan, device="cpu", threads=1).runtime.backend for plan in plans] == ["onnx", "pytorch"]


def test_a_decoder_needs_no_encoder_file(folder: Path) -> None:
    plan = plan_runtime(settings_for(folder, backend="onnx"))
    pair_of(folder)[0].unlink()
    assert open_decoder(plan, device="cpu", threads=1).runtime.backend == "onnx"


def test_a_decoder_of_another_pair_is_not_opened(folder: Path) -> None:
    plan = plan_runtime(settings_for(folder, backend="onnx"))
    with pytest.raises(ConfigurationError, match=r"another pair.*to convert it"):
        open_decoder(replace(plan, source="0" * 16), device="cpu", threads=1)


def test_a_file_that_changes_after_the_plan_is_not_opened(folder: Path) -> None:
    plan = plan_runtime(settings_for(folder, backend="onnx"))
    _, decoder = pair_of(folder)
    decoder.write_bytes(decoder.read_bytes()[:-1])
    with pytest.raises(ConfigurationError, match="damaged"):
        open_decoder(plan, device="cpu", threads=1)


def test_weights_of_equal_names_but_other_content_have_another_source(folder: Path) -> None:
    before = plan_runtime(settings_for(folder, backend="pytorch"))
    save_checkpoint(folder / "tiny.pth", seed=1)
    after = plan_runtime(settings_for(folder, backend="pytorch"))
    assert before.source != after.source
    assert replace(before, source=after.source) == after


def test_preflight_prints_findings_and_exits_0(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAM_MODEL_DIR", str(folder))
    monkeypatch.setenv("SAM_ONNX_DIR", str(folder / "onnx"))
    monkeypatch.setenv("SAM_MODEL_TYPE", "tiny")
    monkeypatch.setenv("SAM_MODLE", "x")
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "setting  model_type=tiny (environment)" in lines
    assert any(line.startswith("warning  SAM_MODLE is set") for line in lines)
    assert lines[-1] == "ok       tiny on onnx, fp32"


def test_preflight_prints_one_error_line_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAM_MODEL_TYPE", "vit_x")
    assert main([]) == 2
    out = capsys.readouterr().out
    assert re.fullmatch(r"error    unknown model type 'vit_x'.*\n", out)


def test_preflight_reads_args_and_variables_of_a_serve_config(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(
        "applications:\n- name: sam\n  import_path: a:b\n"
        "  runtime_env:\n    env_vars: {SAM_MODEL_TYPE: demo}\n  args: {max_prompts: 5}\n"
    )
    assert read_config(config) == ({"SAM_MODEL_TYPE": "demo"}, {"max_prompts": 5})
    for text in ("applications: []", "[", "applications: 3"):
        config.write_text(text)
        with pytest.raises(ConfigurationError, match="can't read the Serve config"):
            read_config(config)
