"""Segmentation and analysis of files: one by one in this process, or whole collections on Ray Data.

`pipeline` and `datasink` are the only files that import Ray; `sam-serve everything` uses the others.
"""
