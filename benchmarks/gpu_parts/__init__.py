"""The parts of benchmarks/gpu.py: correctness, encoding, training steps, a real training."""
