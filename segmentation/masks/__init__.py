"""Masks: from logits to runs, measured, cleaned and written."""
