"""MobileSAM's encoder, on PyTorch and as an ONNX graph, computes what the `mobile_sam` package does."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from conversion.pair import Source, write_pair
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.pytorch.backend import PyTorchEncoder
from segmentation.backends.pytorch.checkpoint import fit
from segmentation.backends.select import plan_runtime
from segmentation.errors import ConfigurationError
from segmentation.settings import RuntimeSettings
from segmentation.weights.architecture import TinyVitArchitecture, format_architecture, parse_architecture
from segmentation.weights.layouts import read_layout
from segmentation.weights.manifest import ModelEntry, ModelSpec, load_manifest
from segmentation.weights.tensors import read_checkpoint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mobile_sam import sam_model_registry
    from mobile_sam.modeling import TinyViT

NARROW = {"embed_dims": (16, 32, 64, 320), "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 10)}
"""The reference resizes the last stage only where it has 320 channels."""


def random_mobile_sam(seed: int = 0):
    """MobileSAM with a narrow encoder, random weights and batch norms that matter."""
    torch.manual_seed(seed)
    sam = sam_model_registry["vit_t"]()
    sam.image_encoder = TinyViT(
        img_size=1024, **{name: list(value) for name, value in NARROW.items()}, window_sizes=[7, 7, 14, 7],
        drop_path_rate=0.0,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in sam.image_encoder.parameters():
            parameter.add_(torch.randn(parameter.shape) * (0.05 if parameter.ndim < 3 else 0.02))
        for name, buffer in sam.image_encoder.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn(buffer.shape) * 0.1)
            elif name.endswith("running_var"):
                buffer.mul_(torch.rand(buffer.shape) + 0.5)
    return sam.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mobile")


@pytest.fixture(scope="module")
def spec(folder: Path) -> ModelSpec:
    torch.save(random_mobile_sam().state_dict(), folder / "mobile.pt")
    return fit(ModelEntry("mobile", None, "mobile.pt"), read_checkpoint(folder / "mobile.pt").state, "mobile.pt")


def test_shapes_tell_the_encoder(spec: ModelSpec) -> None:
    architecture = spec.architecture
    assert isinstance(architecture, TinyVitArchitecture)
    assert (architecture.embed_dims, architecture.depths) == (NARROW["embed_dims"], NARROW["depths"])
    assert architecture.window_sizes[1:] == (7, 14, 7)
    assert parse_architecture(format_architecture(architecture)) == architecture


def test_embeddings_are_the_references(folder: Path, spec: ModelSpec) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 1024, 1024, 3), dtype=np.uint8)
    sizes = np.array([[1024, 700]])
    reference = random_mobile_sam()
    with torch.inference_mode():
        pixels = torch.from_numpy(images[:, :, :700]).permute(0, 3, 1, 2).float()
        expected = reference.image_encoder(reference.preprocess(pixels)).numpy()
    state = read_checkpoint(folder / "mobile.pt").state
    encoder, _ = write_pair(spec, Source(state, "0"), folder / "onnx", lambda *files: None)
    for ours in (
        PyTorchEncoder(folder / "mobile.pt", spec.architecture, threads=2).encode(images, sizes),
        OnnxEncoder(encoder, spec.architecture, threads=2).encode(images, sizes),
    ):
        assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_manifests_entry_has_mobile_sams_shapes() -> None:
    vit_t = load_manifest()["vit_t"]
    layout = read_layout(sam_model_registry["vit_t"]().state_dict(), lambda value: isinstance(value, torch.Tensor), "x")
    assert fit(vit_t, layout.tensors, "x").architecture == vit_t.architecture


def test_other_precisions_are_refused(folder: Path, spec: ModelSpec) -> None:
    with pytest.raises(ConfigurationError, match="not run in bf16: set SAM_PRECISION=fp32"):
        PyTorchEncoder(folder / "mobile.pt", spec.architecture, precision="bf16")
    state = read_checkpoint(folder / "mobile.pt").state
    with pytest.raises(ConfigurationError, match="can't be converted to int8"):
        write_pair(spec, Source(state, "0"), folder / "int8", lambda *files: None, precision="int8")


def test_a_user_needs_no_architecture(folder: Path, spec: ModelSpec) -> None:
    (folder / "manifest.toml").write_text('[models.mine]\nfile = "mobile.pt"\n')
    settings = RuntimeSettings(backend="pytorch", model_type="mine", model_dir=folder, onnx_dir=folder / "none")
    assert plan_runtime(settings).spec.architecture == spec.architecture
