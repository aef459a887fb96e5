"""Roboflow's `inference` API for Segment Anything."""

from deployments.http.protocols.roboflow.routes import Roboflow

__all__ = ["Roboflow"]
