"""Bounds on requests that are under way: how many, and how many bytes of bodies."""
