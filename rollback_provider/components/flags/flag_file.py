"""The text of a flagd flag file: read as plain data, and rewritten so that little else in it changes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

FLAGS = "flags"
EVALUATORS = "$evaluators"

Document = dict[str, Any]


class FlagFileError(Exception):
    """A text is no flag file; says why, without any of its content."""


def parse(text: str, *, is_yaml: bool) -> Document:
    """The file as data. Raises FlagFileError where it is no flag file."""
    try:
        document = yaml.safe_load(text) if is_yaml else json.loads(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise FlagFileError(f"line {line} is not YAML") from None
    except yaml.YAMLError:
        raise FlagFileError("it is not YAML") from None
    except json.JSONDecodeError as error:
        raise FlagFileError(f"line {error.lineno} is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get(FLAGS), dict):
        raise FlagFileError(f"it has no mapping `{FLAGS}`")
    if not isinstance(document.get(EVALUATORS, {}), dict):
        raise FlagFileError(f"`{EVALUATORS}` is no mapping")
    return document


def rewrite(text: str, wanted: Document, *, is_yaml: bool) -> str:
    """A text that means `wanted`.

    JSON keeps its indentation and the order of its keys. In YAML the flags and evaluators that differ are written anew and all else stays
    letter by letter, comments too; where that cannot be done (flow style, anchors) the whole file is written anew.
    """
    if not is_yaml:
        indent = re.search(r"(?m)^([ \t]+)\S", text)
        escaped = text.isascii() and "\\u" in text
        end = "\n" if text.endswith("\n") else ""
        return json.dumps(wanted, indent=indent[1] if indent else None, ensure_ascii=escaped) + end
    try:
        spliced = _splice(text, wanted)
        if parse(spliced, is_yaml=True) == wanted:
            return spliced
    except (FlagFileError, yaml.YAMLError):
        pass  # what was spliced is no YAML any more, an alias without its anchor
    return _dump(wanted)


def _splice(text: str, wanted: Document) -> str:
    """Puts entries of the two sections in the place of those that differ. Raises FlagFileError where a section is in flow style."""
    now = parse(text, is_yaml=True)
    for section in (FLAGS, EVALUATORS):
        old, new = now.get(section, {}), wanted.get(section, {})
        for name in [name for name in {**old, **new} if old.get(name) != new.get(name)]:
            text = _replace(text, section, name, new)
    return text


def _replace(text: str, section: str, name: str, entries: Mapping[str, Any]) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    sections = root.value if isinstance(root, yaml.MappingNode) else []
    pairs = next((value for key, value in sections if key.value == section), None)
    if not isinstance(pairs, yaml.MappingNode) or pairs.flow_style or not pairs.value:
        raise FlagFileError(f"`{section}` is not in block style")
    indent = pairs.value[0][0].start_mark.column
    block = ""
    if name in entries:
        lines = _dump({name: entries[name]}).splitlines()
        block = "\n".join(f"{' ' * indent}{line}" if line else line for line in lines) + "\n"
    for key, value in pairs.value:
        if key.value == name:
            return text[: key.start_mark.index - indent] + block + text[_after(text, value) :]
    end = _after(text, pairs)
    return text[:end] + ("" if text[:end].endswith("\n") else "\n") + block + text[end:]


def _after(text: str, node: yaml.Node) -> int:
    """Where the line after a node begins: before comments and blank lines that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    end: int = node.end_mark.index
    if end and text[end - 1] == "\n":  # a block scalar ends after its line
        return end
    newline = text.find("\n", end)
    return len(text) if newline < 0 else newline + 1


class _Dumper(yaml.SafeDumper):
    """Writes what two flags have in common twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump(document: Document) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text
