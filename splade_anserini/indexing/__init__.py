"""Builds impact indexes with their manifests, and recognizes those that are up to date."""
