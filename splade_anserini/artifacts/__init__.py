"""Files that appear whole or not at all, manifests, fingerprints, figures, and a description of the environment."""
