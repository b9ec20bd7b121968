"""Reads ``spec.yaml``: the components of a migration, and its checks."""

from __future__ import annotations

from pathlib import Path

from rollback_provider.core.checks import parse_checks
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.registry import parse_specs
from rollback_provider.core.verification import CheckSpec


def read_specification(path: str) -> tuple[tuple[ComponentSpec, ...], tuple[CheckSpec, ...]]:
    """The components that a file lists under ``components:``, and the checks under ``checks:``.

    Raises ConfigurationError for whatever is wrong with it.
    """
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"{path}{where} is not YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}"
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("components"), list):
        raise ConfigurationError(
            f"{path} has no list under `components:`",
            next_step="Write, for example: components: [{kind: postgres, name: orders, connection: orders_db}]",
        )
    if unknown := sorted(map(str, document.keys() - {"components", "checks"})):
        raise ConfigurationError(
            f"{path} has unknown keys: {', '.join(unknown)}", next_step="Only `components` and `checks` are known"
        )
    return parse_specs(document["components"]), parse_checks(document.get("checks") or ())
