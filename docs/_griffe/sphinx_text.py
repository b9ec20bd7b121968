"""Shows docstrings that were written for Python's help as Markdown: cross-references become code, ``::`` opens a block."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class SphinxText(Extension):
    """Rewrites the text of each docstring as it is loaded."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrites one object's docstring."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """The same text in Markdown."""
    text = re.sub(r":\w+:`~(?:[\w.]+\.)?(\w+)`", r"``\1``", text)
    text = re.sub(r":\w+:`([\w.]+)`", r"``\1``", text)
    return re.sub(r"(?m)(^|\S)::$", lambda match: match[1] and f"{match[1]}:", text)
