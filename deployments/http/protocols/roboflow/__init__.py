"""Roboflow's `inference` API for Segment Anything."""

from deployments.http.protocols.roboflow.routes import NAME, Roboflow

__all__ = ["NAME", "Roboflow"]
