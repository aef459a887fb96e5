"""Command-line tools that turn a SAM checkpoint into the ONNX pair that the server runs."""
