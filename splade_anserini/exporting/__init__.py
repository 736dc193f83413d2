"""The ONNX graph of a checkpoint, its quantization, and its comparison with torch."""
