"""What goes into the wheel: the packages, and `config/` and the demo model as data beside them.

Everything else about the project is in pyproject.toml.
"""

from setuptools import find_packages, setup

ROOMS = ["segmentation", "analysis", "deployments", "conversion", "client", "commands", "batch"]
DATA = {
    "sam_serve_data.config": "config",
    "sam_serve_data.model": "model",
    "sam_serve_data.model.onnx": "model/onnx",
}

setup(
    packages=[*find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")]), *DATA],
    package_dir=DATA,
    package_data={
        "": ["py.typed"],
        "deployments.http.openapi": ["docs_page_files/*"],
        "deployments.http.page": ["files/*"],
        "sam_serve_data.config": ["*.yaml", "*.yml"],
        "sam_serve_data.model": ["manifest.toml", "sam_demo.pth"],
        "sam_serve_data.model.onnx": ["sam_demo_*.onnx"],
    },
)
