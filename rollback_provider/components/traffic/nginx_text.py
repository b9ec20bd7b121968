"""Upstream blocks in the text of an nginx configuration: read as resources, and edited so that all else in it stays, letter by letter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rollback_provider.resources import Change, Fields, State

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<mark>[;{}])|(?P<word>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|\$\{[^}]*\}|[^\s;{}])+)""",
    re.DOTALL,
)
_INDENT = "    "
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class NginxTextError(Exception):
    """A text is no configuration whose upstreams can be edited; says why."""


@dataclass(frozen=True)
class Statement:
    """A directive, from the first letter of its first word to its semicolon."""

    words: tuple[str, ...]
    start: int
    end: int


@dataclass
class Upstream:
    """A block ``upstream name { … }``.

    :param start: of the word ``upstream``
    :param inside: what comes after the opening brace
    :param close: of the closing brace
    """

    name: str
    start: int
    inside: int
    close: int = 0
    servers: dict[str, Statement] = field(default_factory=dict)
    directives: list[Statement] = field(default_factory=list)


def parse(text: str) -> dict[str, Upstream]:
    """The upstreams, by name. Raises NginxTextError."""
    found: dict[str, Upstream] = {}
    tokens = _tokens(text)
    depth = 0
    words: list[str] = []
    start = 0
    for kind, piece, at in tokens:
        if kind == "word":
            start = start if words else at
            words.append(piece)
            continue
        if piece == "{" and words[:1] == ["upstream"]:
            upstream = _block(tokens, words, start, at + 1)
            if upstream.name in found:
                raise NginxTextError(f"upstream {upstream.name} stands in it twice")
            found[upstream.name] = upstream
        else:
            depth += {"{": 1, "}": -1}.get(piece, 0)
        words = []
    if depth or words:
        raise NginxTextError("a block or a directive has no end")
    return found


def resources(text: str, file: str) -> State:
    """Upstreams and servers: ``shop`` has its file and its directives but for servers, ``shop/10.0.0.7:80`` the parameters of one."""
    state: State = {}
    for name, upstream in parse(text).items():
        state[name] = {"file": file, "directives": [" ".join(each.words) for each in upstream.directives]}
        for server, statement in upstream.servers.items():
            state[f"{name}/{server}"] = _parameters(statement)
    return state


def edit(text: str, change: Change) -> str:
    """A text in which one change is made. Raises NginxTextError where it cannot be made."""
    name, _, server = change.address.partition("/")
    upstream = parse(text).get(name)
    if server:
        if upstream is None:
            if change.target is None:
                return text
            raise NginxTextError(f"there is no upstream {name}")
        return _with_server(text, upstream, server, change.target)
    return _with_upstream(text, upstream, name, change.target)


def server_line(server: str, fields: Fields) -> str:
    """A server's directive."""
    rest = (f"{key}={value}" if value else key for key, value in fields.items() if key != "weight")
    weight = [] if fields["weight"] == "1" else [f"weight={fields['weight']}"]
    return " ".join(["server", server, *weight, *rest]) + ";"


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NginxTextError(f"line {text.count(chr(10), 0, at) + 1} cannot be read")
        at = found.end()
        if found.lastgroup != "space":
            yield str(found.lastgroup), found[0], found.start()


def _block(tokens: Iterator[tuple[str, str, int]], words: list[str], start: int, inside: int) -> Upstream:
    if len(words) != 2 or not _NAME.fullmatch(words[1]):
        raise NginxTextError(f"`{' '.join(words)}` names no upstream")
    upstream = Upstream(words[1], start, inside)
    statement: list[str] = []
    begun = 0
    for kind, piece, at in tokens:
        if kind == "word":
            begun = begun if statement else at
            statement.append(piece)
        elif piece == ";" and statement:
            _add(upstream, Statement(tuple(statement), begun, at + 1))
            statement = []
        elif piece == "}" and not statement:
            upstream.close = at
            return upstream
        else:
            raise NginxTextError(f"upstream {upstream.name} holds more than directives")
    raise NginxTextError(f"upstream {upstream.name} has no end")


def _add(upstream: Upstream, statement: Statement) -> None:
    if statement.words[0] != "server":
        upstream.directives.append(statement)
        return
    server = statement.words[1] if len(statement.words) > 1 else ""
    if server in upstream.servers:
        raise NginxTextError(f"upstream {upstream.name} names server {server} twice")
    upstream.servers[server] = statement


def _parameters(statement: Statement) -> Fields:
    """Parameters by name, in alphabetical order; those that are mere words are empty."""
    pairs = (word.partition("=") for word in statement.words[2:])
    return {"weight": "1"} | {name: value for name, _, value in sorted(pairs)}


def _with_server(text: str, upstream: Upstream, server: str, target: Fields | None) -> str:
    there = upstream.servers.get(server)
    if target is None:
        return _without(text, there) if there else text
    line = server_line(server, target)
    if there:
        return text[: there.start] + line + text[there.end :]
    return _appended(text, upstream, line)


def _with_upstream(text: str, upstream: Upstream | None, name: str, target: Fields | None) -> str:
    if target is None:
        if upstream is None:
            return text
        if upstream.servers:
            raise NginxTextError(f"upstream {name} has servers that others have added: {', '.join(upstream.servers)}")
        return _without(text, Statement((), upstream.start, upstream.close + 1))
    if upstream is None:
        head = text if text.endswith("\n") or not text else f"{text}\n"
        lines = "".join(f"{_INDENT}{each};\n" for each in target["directives"])
        return f"{head}upstream {name} {{\n{lines}}}\n"
    for statement in reversed(upstream.directives):
        text = _without(text, statement)
    lines = "".join(f"\n{_INDENT}{each};" for each in target["directives"])
    return text[: upstream.inside] + lines + text[upstream.inside :]


def _appended(text: str, upstream: Upstream, line: str) -> str:
    """With one more line before the closing brace."""
    before = text[: upstream.close]
    stripped = before.rstrip(" \t")
    if not stripped.endswith("\n"):
        return f"{before.rstrip()}\n{_INDENT}{line}\n{text[upstream.close :]}"
    return f"{stripped}{_INDENT}{line}\n{before[len(stripped) :]}{text[upstream.close :]}"


def _without(text: str, statement: Statement) -> str:
    """Without a directive, and without its line where nothing else stands on it."""
    first = text.rfind("\n", 0, statement.start) + 1
    last = text.find("\n", statement.end)
    last = len(text) if last < 0 else last + 1
    alone = not text[first : statement.start].strip() and not text[statement.end : last].strip()
    return text[:first] + text[last:] if alone else text[: statement.start] + text[statement.end :]
