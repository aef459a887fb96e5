"""Segmentation and analysis of whole collections on Ray Data."""
