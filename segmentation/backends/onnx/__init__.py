"""The ONNX Runtime backend. Needs onnxruntime and numpy, no torch."""
