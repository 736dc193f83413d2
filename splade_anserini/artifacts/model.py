"""The base of manifests and cards, and the types of their fields."""

from typing import Annotated, Any, ClassVar, Literal

import pydantic

type Count = Annotated[int, pydantic.Field(ge=0)]
type Length = Annotated[int, pydantic.Field(gt=2)]
"""A length in tokens, special tokens included."""

type Scale = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
type QueryIdf = Annotated[float, pydantic.Field(ge=0, le=10, allow_inf_nan=False)]
type Measured = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
type EncoderPrecision = Literal["fp32", "bf16", "fp16", "int8"]


class Model(pydantic.BaseModel):
    """Base of manifests and cards: immutable; unknown fields are errors."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class GrowingModel(Model):
    """A model with fields that earlier versions lack, `later_fields`.

    They are written only where they differ from their defaults: what does not use them keeps its bytes and
    fingerprints, and earlier versions read it.
    """

    later_fields: ClassVar[frozenset[str]] = frozenset()

    @pydantic.model_serializer(mode="wrap")
    def _without_defaults_of_later_fields(self, serialize: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = {name for name in self.later_fields if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in serialize(self).items() if name not in unused}
