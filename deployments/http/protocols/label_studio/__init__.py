"""The API of Label Studio's machine learning backends."""

from deployments.http.protocols.label_studio.routes import LabelStudioBackend

__all__ = ["LabelStudioBackend"]
