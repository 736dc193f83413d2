"""Files on disk: atomic writing, manifests, fingerprints, figures, and a description of the environment."""
