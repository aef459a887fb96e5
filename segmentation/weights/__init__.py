"""Models by name, their checkpoint files, and the tensors in them."""
