"""The backend of ONNX files, on ONNX Runtime and OpenVINO. Needs neither torch.

Both runtimes report their use to their makers once they are imported. Here they do not: nothing about a user's
pictures or machine leaves it. This package is imported before either.
"""

import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
if "openvino_telemetry" not in sys.modules:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # OpenVINO goes on without a module it can't import
