"""The output document as JSON text."""

from __future__ import annotations

import json

from rollback_provider.core.document import Record


def to_json(record: Record) -> str:
    """The output document, indented, with characters beyond ASCII as they are, and a newline at the end."""
    return json.dumps(record.to_json(), indent=2, ensure_ascii=False) + "\n"
