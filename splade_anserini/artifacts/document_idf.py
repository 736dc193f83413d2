"""What manifests say of the idf by which impacts of documents were multiplied."""

from typing import Annotated

import pydantic

from splade_anserini.artifacts.model import Model


class DocumentIdf(Model):
    """By what the impacts of documents were multiplied: idf^alpha of their tokens in the collection."""

    alpha: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
    documents: Annotated[int, pydantic.Field(gt=0)]
    """Documents of the collection that had at least one entry: N."""
    frequencies: str
    """SHA-256 of the tokens and their numbers of documents, n, before the multiplication; see `vectors.idf`."""
