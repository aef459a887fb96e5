"""Chooses the runtime that serves a model, from the settings, the files and what is installed. Imports no runtime."""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segmentation.backends.onnx.files import OnnxPair, convert_command, verify_pair
from segmentation.backends.precision import FASTEST_FIRST, cpu_flags, refuse, runs
from segmentation.backends.quality import Quality, read_record, record_path
from segmentation.errors import ConfigurationError, ModelFileError, TorchNeeded
from segmentation.settings import RuntimeSettings
from segmentation.weights.checkpoints import ensure_checkpoint, find_checkpoint, sha256_file, verify_checkpoint
from segmentation.weights.manifest import MANIFEST, ModelEntry, ModelSpec, find_model, load_manifest, with_architecture

TORCH_SIDE = ("torch", "torchvision", "segment_anything")
"""Modules of the extra `pytorch` that the PyTorch backend imports."""


@dataclass(frozen=True, slots=True)
class RuntimePlan:
    """What will run. Crosses process boundaries; each replica opens its own part of it.

    source: identifies the weights: SHA-256 of the checkpoint, or the pair's id.
    onnx_available, pytorch_available: the runtime can be imported and its files are whole.
    findings: what was found on the way, one line each.
    quality: of the encoder in this precision, as measured at the conversion; None where it was not measured.
    onnx_runtime: what runs an ONNX encoder on a CPU: "onnxruntime", "openvino", or "auto" for the faster one.
    """

    backend: str
    spec: ModelSpec
    precision: str
    model_dir: Path
    onnx_dir: Path
    source: str
    onnx_available: bool
    pytorch_available: bool
    findings: tuple[str, ...]
    quality: Quality | None = None
    onnx_runtime: str = "auto"


def is_installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def is_distributed(distribution: str) -> bool:
    """Whether a distribution is installed, by its name in the package index."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def models_of(settings: RuntimeSettings) -> dict[str, ModelEntry]:
    """The project's manifest, and the one in `SAM_MODEL_DIR` if there is one."""
    own = settings.model_dir / MANIFEST.name
    return load_manifest(MANIFEST) if own.resolve() == MANIFEST.resolve() else load_manifest(MANIFEST, own)


def plan_runtime(
    settings: RuntimeSettings,
    *,
    download: bool = True,
    device: str | None = None,
    installed: Callable[[str], bool] = is_installed,
    distributed: Callable[[str], bool] = is_distributed,
    flags: Callable[[], frozenset[str] | None] = cpu_flags,
) -> RuntimePlan:
    """Decides between ONNX Runtime and PyTorch by `SAM_BACKEND`, and between precisions by `SAM_PRECISION`, and makes
    sure that the files are there and whole.

    With `download` false a missing checkpoint is a finding, not a download. `device` is what the encoder will run on;
    None where the cluster is not known: then only what no device could run is refused, and `auto` chooses for a CPU.

    Raises:
        ConfigurationError: nothing can serve these settings; one line that says what to do.
    """
    if distributed("onnxruntime") and distributed("onnxruntime-gpu"):
        raise ConfigurationError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: uninstall both, install one"
        )
    if settings.onnx_runtime == "openvino" and not installed("openvino"):
        raise ConfigurationError("SAM_ONNX_RUNTIME=openvino: openvino is not installed: install the extra 'cpu'")
    models = models_of(settings)
    chooser = _Chooser(settings, find_model(settings.model_type, models), models, download, installed)
    if settings.precision == "auto":
        return chooser.fastest(device or "cpu", flags())
    possible = ("cuda", "cpu") if settings.use_gpu else ("cpu",)
    devices, found = (device,) if device else possible, flags()
    refuse(settings.backend, settings.precision, devices, found)
    backend = _only_backend(settings.precision, devices, found) if settings.backend == "auto" else settings.backend
    return chooser.plan(backend, settings.precision)


def _only_backend(precision: str, devices: Sequence[str], flags: frozenset[str] | None) -> str:
    """The backend, if only one runs a precision on any of these devices; else "auto"."""
    able = [name for name in ("onnx", "pytorch") if any(runs(name, precision, one, flags) for one in devices)]
    return able[0] if len(able) == 1 else "auto"


class _Chooser:
    """One decision of `plan_runtime`; remembers what each side lacks, to say so when neither can serve."""

    def __init__(
        self,
        settings: RuntimeSettings,
        entry: ModelEntry,
        models: Mapping[str, ModelEntry],
        download: bool,
        installed: Callable[[str], bool],
    ) -> None:
        self.settings = settings
        self.entry = entry
        self.models = models
        self.download = download
        self.has_onnxruntime = installed("onnxruntime")
        self.has_openvino = installed("openvino")
        self.has_torch = all(map(installed, TORCH_SIDE))
        self.findings: list[str] = []

    def fastest(self, device: str, flags: frozenset[str] | None) -> RuntimePlan:
        """The first in `FASTEST_FIRST` that is there, runs here and has a record of good quality; else fp32."""
        for backend, precision in FASTEST_FIRST[device]:
            if self.settings.backend not in {backend, "auto"} or not runs(backend, precision, device, flags):
                continue
            try:
                quality = self._recorded(backend, precision)
            except ModelFileError as error:
                self.findings.append(f"not in {precision}: {error.message}")
                continue
            if quality is None or not quality.is_good:
                found = quality or f"no record of its quality; to measure it: {convert_command(self.entry, precision)}"
                self.findings.append(f"not in {precision} on {backend}: {found}")
                continue
            return self.plan(backend, precision)
        return self.plan(self.settings.backend, "fp32")

    def plan(self, backend: str, precision: str) -> RuntimePlan:
        """A backend, "auto" for either, in one precision."""
        pair, pair_fault = self._pair(precision)
        if backend == "onnx" or (backend == "auto" and pair):
            if pair is None:
                raise ConfigurationError(f"{self._asked('onnx', precision)}: {pair_fault}")
            whole = self._checkpoint_is_whole()
            return self._finish("onnx", precision, pair.spec, pair.pair_id, True, whole, pair.quality)
        if not self.has_torch:
            lacks = "torch, torchvision and segment-anything are not installed: install the extra 'pytorch'"
            if backend == "pytorch":
                raise ConfigurationError(f"{self._asked('pytorch', precision)}: {lacks}")
            raise ConfigurationError(f"nothing can run {self.entry.name}: {lacks}; or, for ONNX: {pair_fault}")
        if pair_fault and backend == "auto":
            self.findings.append(f"not on ONNX: {pair_fault}")
        spec, whole = self._ensure_checkpoint()
        quality = self._pytorch_record(precision) if whole and precision != "fp32" else None
        source = self.entry.sha256 or self._unpinned_source()
        return self._finish("pytorch", precision, spec, source, pair is not None, whole, quality)

    def _asked(self, backend: str, precision: str) -> str:
        """The setting that leaves no choice but this backend."""
        return f"SAM_BACKEND={backend}" if self.settings.backend == backend else f"SAM_PRECISION={precision}"

    def _recorded(self, backend: str, precision: str) -> Quality | None:
        if backend == "pytorch":
            whole = self.has_torch and find_checkpoint(self.entry, self.settings.model_dir)
            return self._pytorch_record(precision) if whole else None
        pair, fault = self._pair(precision)
        if pair is None:
            raise ModelFileError(str(fault))
        return pair.quality

    def _pytorch_record(self, precision: str) -> Quality | None:
        path = record_path(self.settings.onnx_dir, self.entry.name, precision)
        if not path.is_file():
            return None
        return read_record(path, self.entry.sha256 or sha256_file(self.settings.model_dir / self.entry.file))

    def _pair(self, precision: str) -> tuple[OnnxPair | None, ConfigurationError | None]:
        if not self.has_onnxruntime:
            return None, ConfigurationError("onnxruntime is not installed: install the extra 'cpu' or 'gpu'")
        if precision == "bf16" and not self.has_openvino:
            return None, ConfigurationError("openvino, which runs bf16, is not installed: install the extra 'cpu'")
        if precision == "bf16" and self.settings.onnx_runtime == "onnxruntime":
            return None, ConfigurationError("SAM_ONNX_RUNTIME=onnxruntime does not run bf16: leave it at auto")
        try:
            pair = verify_pair(self.settings.onnx_dir, self.entry, precision)
        except ModelFileError as error:
            return None, error
        return pair, None

    def _checkpoint_is_whole(self) -> bool:
        path = find_checkpoint(self.entry, self.settings.model_dir)
        if not self.has_torch or path is None:
            return False
        try:
            verify_checkpoint(self.entry, path)
        except ModelFileError as error:
            self.findings.append(f"not on PyTorch: {error}")
            return False
        return True

    def _ensure_checkpoint(self) -> tuple[ModelSpec, bool]:
        """The model, and whether its file is here; if so, a replica can load it."""
        if not self.download and find_checkpoint(self.entry, self.settings.model_dir) is None and self.entry.url:
            size = f"{self.entry.bytes / 1e6:.0f} MB, " if self.entry.bytes else ""
            self.findings.append(f"{self.entry.file} is missing: the start will download it ({size}{self.entry.url})")
            if self.entry.architecture is None:
                raise ModelFileError(
                    f"{self.entry.file} is missing, and only its shapes tell what {self.entry.name} is: put the file "
                    f"into {self.settings.model_dir}, or name its architecture in the manifest"
                )
            return with_architecture(self.entry, self.entry.architecture), False
        path = ensure_checkpoint(self.entry, self.settings.model_dir, download=self.download)
        if self.entry.unpinned:
            self.findings.append(self.entry.unpinned)
        if not all(map(is_installed, TORCH_SIDE)):  # somebody asks what would run if it were
            if self.entry.architecture is None:
                raise TorchNeeded(f"only {path} tells what {self.entry.name} is: install the extra 'pytorch'")
            return with_architecture(self.entry, self.entry.architecture), True
        from segmentation.backends.pytorch.checkpoint import inspect_checkpoint

        spec, notes = inspect_checkpoint(path, self.entry, self.models.values())
        self.findings += notes
        return spec, True

    def _unpinned_source(self) -> str:
        path = self.settings.model_dir / self.entry.file
        if not path.exists():
            return f"{self.entry.name}-missing"
        status = path.stat()
        return f"{self.entry.name}-{status.st_size}-{status.st_mtime_ns}"

    def _finish(
        self,
        backend: str,
        precision: str,
        spec: ModelSpec,
        source: str,
        onnx: bool,
        pytorch: bool,
        quality: Quality | None,
    ) -> RuntimePlan:
        settings = self.settings
        return RuntimePlan(
            backend=backend,
            spec=spec,
            precision=precision,
            model_dir=settings.model_dir,
            onnx_dir=settings.onnx_dir,
            source=source,
            onnx_available=onnx,
            pytorch_available=pytorch,
            findings=tuple(self.findings),
            quality=quality,
            onnx_runtime=settings.onnx_runtime,
        )
