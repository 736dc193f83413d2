"""Operations on sparse vectors: quantization and pruning."""
