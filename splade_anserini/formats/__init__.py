"""Readers and writers of files: corpora, topics, impact vectors, runs, qrels and training examples."""
