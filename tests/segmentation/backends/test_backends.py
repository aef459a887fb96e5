"""Both backends are held to `segment_anything` on the same weights, and to the protocol."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_pair
import torch
from numpy.typing import NDArray
from oracle import TINY, random_sam
from segment_anything.modeling import Sam

from segmentation.backends.onnx.decoder import IMAGE_TOKENS_PER_RUN, OnnxDecoder, _parts
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.files import OnnxPair
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.pytorch.backend import PyTorchDecoder, PyTorchEncoder
from segmentation.errors import ConfigurationError, ModelFileError, NumericalError
from segmentation.types import DecodedMasks, PromptTokens

SIDE = TINY.image_size
PROMPTS_PER_RUN = IMAGE_TOKENS_PER_RUN // TINY.embedding_side**2
SIZES = [(SIDE, SIDE), (SIDE, 50), (1, SIDE), (77, 128), (1, 1)]


@pytest.fixture(scope="module")
def sam() -> Sam:
    return random_sam()


@pytest.fixture(scope="module", params=["onnx", "pytorch"])
def encoder(request: pytest.FixtureRequest, pair: OnnxPair, checkpoint: Path) -> EncoderBackend:
    if request.param == "onnx":
        return OnnxEncoder(pair.encoder, TINY, threads=2)
    return PyTorchEncoder(checkpoint, TINY, threads=2)


@pytest.fixture(scope="module", params=["onnx", "pytorch"])
def decoder(request: pytest.FixtureRequest, pair: OnnxPair, checkpoint: Path) -> DecoderBackend:
    if request.param == "onnx":
        return OnnxDecoder(pair.decoder, TINY, threads=2)
    return PyTorchDecoder(checkpoint, TINY, threads=2)


def error(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """max|a - b| / max|b|."""
    assert ours.shape == reference.shape
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def pictures(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (len(SIZES), SIDE, SIDE, 3), dtype=np.uint8), np.array(SIZES)


def reference_embedding(sam: Sam, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    with torch.inference_mode():
        picture = torch.from_numpy(image[: size[0], : size[1]].copy()).permute(2, 0, 1)[None].float()
        return sam.image_encoder(sam.preprocess(picture)).numpy()[0]


def embedding(seed: int = 0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(0, 1, TINY.embedding_shape).astype(np.float32)
    values.flags.writeable = False
    return values


def prompts(count: int, labels: list[int], *, masks: bool = False, seed: int = 0) -> PromptTokens:
    rng = np.random.default_rng(seed)
    side = TINY.low_res_side
    return PromptTokens(
        rng.uniform(0, SIDE, (count, len(labels), 2)).astype(np.float32),
        np.tile(np.array(labels, np.int64), (count, 1)),
        rng.normal(0, 5, (count, side, side)).astype(np.float32) if masks else None,
    )


def reference_masks(sam: Sam, image: NDArray[np.float32], tokens: PromptTokens, multimask: bool) -> DecodedMasks:
    """The package's answer, prompt by prompt; boxes are the last two tokens, labelled 2 and 3."""
    logits, iou = [], []
    for row in range(len(tokens)):
        coords, labels = torch.from_numpy(tokens.coords[row]), torch.from_numpy(tokens.labels[row])
        is_point = (labels == 0) | (labels == 1)
        mask = None if tokens.mask_input is None else torch.from_numpy(tokens.mask_input[row, None, None])
        with torch.inference_mode():
            sparse, dense = sam.prompt_encoder(
                points=(coords[is_point][None], labels[is_point][None]) if is_point.any() else None,
                boxes=coords[labels >= 2].reshape(1, 4) if (labels >= 2).any() else None,
                masks=mask,
            )
            low_res, score = sam.mask_decoder(
                image_embeddings=torch.tensor(image)[None],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
        logits.append(low_res[0].numpy())
        iou.append(score.numpy())
    scores = np.concatenate(iou)
    return DecodedMasks(scores, np.argwhere(np.isfinite(scores)), np.concatenate(logits))


def test_embeddings_are_the_references(encoder: EncoderBackend, sam: Sam) -> None:
    images, sizes = pictures()
    embeddings = encoder.encode(images, sizes)
    assert embeddings.dtype == np.float32
    for ours, image, size in zip(embeddings, images, SIZES, strict=True):
        assert error(ours, reference_embedding(sam, image, size)) <= 1e-5


def test_a_pictures_embedding_does_not_depend_on_the_others(encoder: EncoderBackend) -> None:
    images, sizes = pictures()
    together = encoder.encode(images, sizes)
    for row in range(len(images)):
        np.testing.assert_array_equal(encoder.encode(images[row : row + 1], sizes[row : row + 1])[0], together[row])


def test_pixels_beyond_the_size_do_not_count(encoder: EncoderBackend) -> None:
    images, sizes = pictures()
    blank = images.copy()
    for image, (height, width) in zip(blank, SIZES, strict=True):
        image[height:] = 0
        image[:, width:] = 255
    np.testing.assert_array_equal(encoder.encode(images, sizes), encoder.encode(blank, sizes))


def test_no_pictures(encoder: EncoderBackend) -> None:
    images, sizes = pictures()
    assert encoder.encode(images[:0], sizes[:0]).shape == (0, *TINY.embedding_shape)


PROMPT_KINDS = [
    pytest.param([1, -1], False, id="point"),
    pytest.param([1, 0, 1, -1], False, id="points"),
    pytest.param([2, 3], False, id="box"),
    pytest.param([0, 1, 2, 3], False, id="points and box"),
    pytest.param([1, -1], True, id="point and mask"),
    pytest.param([2, 3], True, id="box and mask"),
    pytest.param([], True, id="mask"),
]


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(("labels", "masks"), PROMPT_KINDS)
def test_masks_are_the_references(
    decoder: DecoderBackend, sam: Sam, labels: list[int], masks: bool, multimask: bool
) -> None:
    tokens = prompts(3, labels, masks=masks)
    ours = decoder.decode(decoder.prepare(embedding()), tokens, multimask=multimask)
    reference = reference_masks(sam, embedding(), tokens, multimask)
    assert error(ours.predicted_iou, reference.predicted_iou) <= 1e-5
    assert error(ours.logits, reference.logits) <= 1e-5
    np.testing.assert_array_equal(ours.index, reference.index)


def test_more_prompts_than_run_at_once(decoder: DecoderBackend, sam: Sam) -> None:
    tokens = prompts(PROMPTS_PER_RUN + 1, [1, -1], masks=True)
    ours = decoder.decode(decoder.prepare(embedding()), tokens)
    reference = reference_masks(sam, embedding(), tokens, True)
    assert error(ours.logits, reference.logits) <= 1e-5
    assert error(ours.predicted_iou, reference.predicted_iou) <= 1e-5


def test_a_prompts_masks_do_not_depend_on_the_others(decoder: DecoderBackend) -> None:
    tokens = prompts(5, [1, -1])
    image = decoder.prepare(embedding())
    together = decoder.decode(image, tokens)
    for row in range(5):
        alone = decoder.decode(image, PromptTokens(tokens.coords[row, None], tokens.labels[row, None]))
        np.testing.assert_allclose(alone.logits, together.logits[3 * row : 3 * row + 3], atol=2e-6)
        np.testing.assert_allclose(alone.predicted_iou[0], together.predicted_iou[row], atol=1e-6)


@pytest.mark.parametrize("multimask", [True, False])
def test_the_gate_leaves_out_masks_and_changes_none(decoder: DecoderBackend, multimask: bool) -> None:
    tokens = prompts(PROMPTS_PER_RUN + 5, [1, -1])
    every = decoder.decode(decoder.prepare(embedding()), tokens, multimask=multimask)
    gate = float(np.median(every.predicted_iou))
    some = decoder.decode(decoder.prepare(embedding()), tokens, multimask=multimask, min_iou=gate)
    np.testing.assert_array_equal(some.predicted_iou, every.predicted_iou)
    passing = every.predicted_iou > np.float32(gate)
    assert 0 < passing.sum() < passing.size
    np.testing.assert_array_equal(some.index, np.argwhere(passing))
    np.testing.assert_allclose(some.logits, every.logits[passing.reshape(-1)], atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 31, 64, 65, 100])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_runs_cover_every_prompt_once_and_keep_all_threads_busy(count: int, threads: int) -> None:
    parts = _parts(count, 16, threads)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(count))
    assert all(0 < part.stop - part.start <= 16 for part in parts)
    assert len(parts) % threads == 0 or len(parts) == count


def test_the_gate_is_strict(decoder: DecoderBackend) -> None:
    tokens = prompts(1, [1, -1])
    iou = decoder.decode(decoder.prepare(embedding()), tokens).predicted_iou[0]
    passed = decoder.decode(decoder.prepare(embedding()), tokens, min_iou=float(iou.max()))
    assert len(passed.logits) == 0
    assert passed.index.shape == (0, 2)
    assert passed.logits.shape == (0, TINY.low_res_side, TINY.low_res_side)
    np.testing.assert_array_equal(passed.predicted_iou[0], iou)


def test_no_prompts(decoder: DecoderBackend) -> None:
    empty = decoder.decode(decoder.prepare(embedding()), prompts(0, [1, -1]), multimask=False)
    assert empty.predicted_iou.shape == (0, 1)
    assert empty.index.shape == (0, 2)
    assert empty.logits.shape == (0, TINY.low_res_side, TINY.low_res_side)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_an_error(decoder: DecoderBackend, value: float) -> None:
    broken = embedding().copy()
    broken[3, 4, 5] = value
    with pytest.raises(NumericalError):
        decoder.decode(decoder.prepare(broken), prompts(2, [1, -1]))


def test_several_threads_share_a_backend(encoder: EncoderBackend, decoder: DecoderBackend) -> None:
    images, sizes = pictures()
    tokens = [prompts(4, [1, -1], seed=seed) for seed in range(8)]
    image = decoder.prepare(embedding())
    expected = encoder.encode(images, sizes), [decoder.decode(image, part).logits for part in tokens]
    with ThreadPoolExecutor(4) as pool:
        embeddings = [pool.submit(encoder.encode, images, sizes) for _ in range(4)]
        decoded = [pool.submit(decoder.decode, image, part) for part in tokens]
        for future in embeddings:
            np.testing.assert_array_equal(future.result(), expected[0])
        for future, logits in zip(decoded, expected[1], strict=True):
            np.testing.assert_allclose(future.result().logits, logits, atol=1e-6)


def test_the_runtime_says_what_runs(encoder: EncoderBackend, decoder: DecoderBackend) -> None:
    for backend in (encoder, decoder):
        assert backend.runtime.device == "cpu"
        assert backend.runtime.precision == "fp32"
        assert backend.architecture == TINY
        providers = ("CPUExecutionProvider",) if backend.runtime.backend == "onnx" else ()
        assert backend.runtime.providers == providers


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_a_clear_error(pair: OnnxPair, checkpoint: Path) -> None:
    for open_backend in (
        lambda: OnnxEncoder(pair.encoder, TINY, device="cuda"),
        lambda: OnnxDecoder(pair.decoder, TINY, device="cuda"),
        lambda: PyTorchEncoder(checkpoint, TINY, device="cuda"),
        lambda: PyTorchDecoder(checkpoint, TINY, device="cuda"),
    ):
        with pytest.raises(ConfigurationError, match=r"GPU.*SAM_USE_GPU=false"):
            open_backend()


def test_a_file_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "sam_tiny_encoder.onnx"
    path.write_bytes(b"not an ONNX file")
    with pytest.raises(ModelFileError, match=r"can't load .*sam_tiny_encoder.onnx") as caught:
        OnnxEncoder(path, TINY)
    assert "\n" not in caught.value.message


def test_a_checkpoint_of_another_architecture_is_one_line(checkpoint: Path) -> None:
    with pytest.raises(ModelFileError, match="does not fit the architecture") as caught:
        PyTorchEncoder(checkpoint, replace(TINY, depth=4))
    assert "\n" not in caught.value.message
    with pytest.raises(ModelFileError, match="does not fit the architecture"):
        PyTorchDecoder(checkpoint, replace(TINY, prompt_embed_dim=128))


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "segment_anything", "onnx"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import numpy as np
from pathlib import Path
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.files import verify_pair
from segmentation.weights.manifest import find_model, load_manifest
from segmentation.types import PromptTokens

models = load_manifest(*map(Path, sys.argv[2:]))
pair = verify_pair(Path(sys.argv[1]), find_model("tiny", models))
architecture = models["tiny"].architecture
image = OnnxEncoder(pair.encoder, architecture).encode(np.zeros((1, 128, 128, 3), np.uint8), np.array([[128, 99]]))[0]
tokens = PromptTokens(np.full((1, 1, 2), 50, np.float32), np.ones((1, 1), np.int64))
decoder = OnnxDecoder(pair.decoder, architecture)
print(decoder.decode(decoder.prepare(image), tokens).logits.shape)
"""


def test_onnx_runs_where_torch_and_onnx_are_not_installed(pair: OnnxPair, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(tiny_pair.MANIFEST)
    arguments = [sys.executable, "-c", WITHOUT_TORCH, str(pair.encoder.parent), str(manifest)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3, 32, 32)"


def test_bf16_on_pytorch_is_near_the_reference(checkpoint: Path, sam: Sam) -> None:
    encoder = PyTorchEncoder(checkpoint, TINY, precision="bf16")
    images, sizes = pictures()
    errors = [
        error(ours, reference_embedding(sam, image, size))
        for ours, image, size in zip(encoder.encode(images, sizes), images, SIZES, strict=True)
    ]
    # Not exact, or it did not run in bf16 at all.
    assert 1e-4 < max(errors) <= 0.02
    assert encoder.runtime.precision == "bf16"


def test_fp16_on_a_cpu_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ConfigurationError, match="fp16 on this device"):
        PyTorchEncoder(checkpoint, TINY, precision="fp16")


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("passing", ["all", "some", "none"])
def test_prompts_together_on_a_device_are_those_in_parts(pair: OnnxPair, masks: bool, passing: str) -> None:
    """What a GPU is given, here on a CPU."""
    decoder = OnnxDecoder(pair.decoder, TINY, threads=2)
    image, tokens = decoder.prepare(embedding()), prompts(PROMPTS_PER_RUN + 3, [1, -1], masks=masks)
    iou = decoder.decode(image, tokens).predicted_iou
    gate = {"all": -np.inf, "some": float(np.median(iou)), "none": float(iou.max())}[passing]
    expected = decoder.decode(image, tokens, min_iou=gate)
    together = decoder._run_on_device(image, tokens, np.array([1, 2, 3]), gate)
    assert len(together.logits) == {"all": iou.size, "some": (iou > np.float32(gate)).sum(), "none": 0}[passing]
    np.testing.assert_allclose(together.predicted_iou, expected.predicted_iou, atol=1e-6)
    np.testing.assert_array_equal(together.index, expected.index)
    np.testing.assert_allclose(together.logits, expected.logits, atol=2e-6)
