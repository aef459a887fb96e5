"""An analysis as a file: one module a format."""
