"""The options of a kind, as a model that refuses what it does not know."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import ComponentSpec


class Options(BaseModel):
    """Base of the options of a kind: names as a user writes them, unknown ones refused. They are stored, so none may hold a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


O = TypeVar("O", bound=Options)  # noqa: E741


def parse_options(spec: ComponentSpec, model: type[O]) -> O:
    """The options of `spec`. Raises ConfigurationError that names each option that is missing, unknown or wrong."""
    try:
        return model.model_validate_json(json.dumps(spec.options))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(
            f"Options of kind {spec.kind!r} are wrong: {problems}",
            component=spec.name,
            next_step="Correct its options",
        ) from None


def require_connection(spec: ComponentSpec) -> str:
    """The id of the connection. Raises ConfigurationError where none is named."""
    if spec.connection is None:
        raise ConfigurationError(
            f"Kind {spec.kind!r} needs a `connection`", component=spec.name, next_step="Name an Airflow connection"
        )
    return spec.connection
