"""A search service over HTTP: indexes, a queue of searches, and the application that answers. Uses fastapi."""
