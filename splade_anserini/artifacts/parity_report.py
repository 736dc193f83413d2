"""The comparison of an exported encoder with its checkpoint, which its manifest contains."""

from typing import Annotated

import pydantic

from splade_anserini.artifacts.model import Count, Measured, Model, Scale


class ParityReport(Model):
    """Comparison of an exported encoder with its checkpoint on real text."""

    against: str = "torch"
    """What ran the checkpoint: "torch", which is this package, or sentence-transformers with its version."""
    texts: Count
    max_difference: Measured
    """The greatest difference between two weights, relative to the weight if that is above 1."""
    mean_difference: Measured
    """The sum of all differences, relative to the sum of all weights."""
    bound: Measured
    """The largest `max_difference` that fp32 may have, or the largest `mean_difference` for int8."""
    equal_impacts: Annotated[float, pydantic.Field(ge=0, le=1)]
    """Share of the entries that are active in either encoder whose impacts at `scale` are equal."""
    scale: Scale
