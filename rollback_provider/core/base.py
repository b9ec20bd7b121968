"""What all records have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Json = dict[str, Any]
"""A JSON object. What is in it is the affair of the component that wrote it."""


class Model(BaseModel):
    """Base of all records: frozen, camelCase in JSON, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def to_json(self) -> Json:
        """The record as a JSON object with camelCase names."""
        return self.model_dump(mode="json", by_alias=True)
