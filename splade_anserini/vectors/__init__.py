"""Operations on sparse vectors: quantization, pruning, dot products."""
