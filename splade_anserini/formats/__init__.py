"""Files that people have: corpora, topics, impact vectors, runs, qrels, training examples."""
