"""Teachers: models that score pairs of query and document."""
