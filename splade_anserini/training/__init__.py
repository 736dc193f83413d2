"""Training: batches of examples, losses and regularizers, teachers, and the training loop."""
