"""Opens what `select.plan_runtime` has chosen. Imports a runtime only when it is opened."""

from pathlib import Path

from segmentation.backends.onnx.files import pair_paths, verify_part
from segmentation.backends.precision import cpu_flags, refuse
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.select import RuntimePlan, is_installed
from segmentation.errors import ConfigurationError
from segmentation.weights.checkpoints import ensure_checkpoint


def open_encoder(plan: RuntimePlan, *, device: str, threads: int) -> EncoderBackend:
    """Loads the image encoder of a plan on this machine.

    Args:
        device: "cuda" or "cpu".
        threads: CPU threads of the runtime.

    Raises:
        ConfigurationError: the files are not on this machine, are damaged, or the device can't be used, or not in this
            precision.
    """
    refuse(plan.backend, plan.precision, (device,), cpu_flags())
    if plan.backend == "onnx":
        return _open_onnx_encoder(plan, device, threads)
    from segmentation.backends.pytorch.backend import PyTorchEncoder

    return PyTorchEncoder(
        _checkpoint(plan), plan.spec.architecture, device=device, threads=threads, precision=plan.precision
    )


def open_decoder(plan: RuntimePlan, *, device: str, threads: int) -> DecoderBackend:
    """Loads the prompt encoder and mask decoder of a plan on this machine; arguments and errors as `open_encoder`."""
    if plan.backend == "onnx":
        from segmentation.backends.onnx.decoder import OnnxDecoder

        path = pair_paths(plan.onnx_dir, plan.spec.name, plan.precision)[1]
        verify_part(path, plan.spec, plan.precision, plan.source)
        return OnnxDecoder(path, plan.spec.architecture, device=device, threads=threads)
    from segmentation.backends.pytorch.backend import PyTorchDecoder

    return PyTorchDecoder(_checkpoint(plan), plan.spec.architecture, device=device, threads=threads)


def _open_onnx_encoder(plan: RuntimePlan, device: str, threads: int) -> EncoderBackend:
    from segmentation.backends.onnx.encoder import OnnxEncoder
    from segmentation.backends.onnx.runtimes import Opener, open_fastest

    path = pair_paths(plan.onnx_dir, plan.spec.name, plan.precision)[0]
    verify_part(path, plan.spec, plan.precision, plan.source)
    architecture = plan.spec.architecture

    def on_onnxruntime() -> EncoderBackend:
        return OnnxEncoder(path, architecture, device=device, threads=threads, precision=plan.precision)

    def on_openvino() -> EncoderBackend:
        from segmentation.backends.onnx.openvino_encoder import OpenVinoEncoder

        return OpenVinoEncoder(path, architecture, threads=threads, precision=plan.precision)

    openers: dict[str, Opener] = {}
    if plan.precision != "bf16":
        openers["onnxruntime"] = on_onnxruntime
    if device == "cpu" and is_installed("openvino"):
        openers["openvino"] = on_openvino
    if plan.onnx_runtime != "auto":
        openers = {name: opener for name, opener in openers.items() if name == plan.onnx_runtime}
    if not openers:  # the plan was made for another device, or openvino is not on this machine
        raise ConfigurationError(
            f"nothing runs {plan.precision} on {device} with SAM_ONNX_RUNTIME={plan.onnx_runtime} on this machine: "
            "OpenVINO runs on CPUs only, and ONNX Runtime has no bf16"
        )
    return open_fastest(openers, path, source=plan.source, threads=threads)


def _checkpoint(plan: RuntimePlan) -> Path:
    return ensure_checkpoint(plan.spec, plan.model_dir)
