"""Segment everything: grids, candidates, thresholds, parameters."""
