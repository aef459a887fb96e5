"""Which precision of the image encoder runs where. Knows no files and loads no runtime."""

import platform
from collections.abc import Sequence
from pathlib import Path

from segmentation.errors import ConfigurationError

RUNS_ON: dict[tuple[str, str], tuple[str, ...]] = {
    ("onnx", "fp32"): ("cpu", "cuda"),
    ("onnx", "bf16"): ("cpu",),
    ("onnx", "int8"): ("cpu",),
    ("pytorch", "fp32"): ("cpu", "cuda"),
    ("pytorch", "bf16"): ("cpu", "cuda"),
    ("pytorch", "fp16"): ("cuda",),
}
"""Devices of each (backend, precision)."""

FASTEST_FIRST = {
    "cpu": (("onnx", "int8"), ("onnx", "bf16"), ("pytorch", "bf16")),
    "cuda": (("pytorch", "bf16"), ("pytorch", "fp16")),
}
"""What `auto` tries on each device before fp32."""

_DEVICE_NAMES = {"cpu": "CPU", "cuda": "GPU"}
_UNITS: dict[tuple[str, str], tuple[frozenset[str], str]] = {
    ("onnx", "int8"): (frozenset({"avx512_vnni", "avx_vnni", "amx_int8"}), "VNNI and AMX"),
    ("onnx", "bf16"): (frozenset({"avx512_bf16", "amx_bf16"}), "AVX512-BF16 and AMX"),
}
"""Of an x86 CPU, one of which a (backend, precision) needs; and their names. Without VNNI or AMX, int8
products may be added in 16 bits, which overflow. Without units for bf16, OpenVINO computes in float32."""


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """What this x86 CPU can do, in Linux' words; None where that is not known, as on other processors."""
    if platform.machine() not in {"x86_64", "AMD64"} or not cpuinfo.is_file():
        return None
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split()) or None


def runs(backend: str, precision: str, device: str, flags: frozenset[str] | None) -> bool:
    """Whether a backend computes in this precision on this device."""
    return device in RUNS_ON.get((backend, precision), ()) and not _lacks_units(backend, precision, flags)


def refuse(backend: str, precision: str, devices: Sequence[str], flags: frozenset[str] | None) -> None:
    """Stops a precision that can't be run, by one line that names what can.

    Args:
        backend: "onnx", "pytorch" or "auto" for either.
        precision: not "auto".
        devices: "cpu" or "cuda", or both where either may be.
        flags: as from `cpu_flags`.

    Raises:
        ConfigurationError: no such backend runs it there.
    """
    backends = ("onnx", "pytorch") if backend == "auto" else (backend,)
    if any(runs(name, precision, device, flags) for name in backends for device in devices):
        return
    possible = [
        f"{kind} on {name}"
        for name, kind in RUNS_ON
        if name in backends and any(runs(name, kind, device, flags) for device in devices)
    ]
    asked = "" if backend == "auto" else f" with SAM_BACKEND={backend}"
    lacking = [name for name in backends if _lacks_units(name, precision, flags)]
    why = f" without {_UNITS[lacking[0], precision][1]}" if lacking else ""
    elsewhere = sorted(
        f"{name} on a {_DEVICE_NAMES[place]}"
        for (name, kind), places in RUNS_ON.items()
        if kind == precision
        for place in places
    )
    here = " or ".join(_DEVICE_NAMES[device] for device in devices)
    raise ConfigurationError(
        f"SAM_PRECISION={precision} can't be run{asked} on a {here}{why}; "
        f"it is for {' or '.join(elsewhere)}. Here run {', '.join(possible)}"
    )


def _lacks_units(backend: str, precision: str, flags: frozenset[str] | None) -> bool:
    needed = _UNITS.get((backend, precision))
    return needed is not None and flags is not None and not flags & needed[0]
