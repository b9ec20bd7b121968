"""Upstreams of nginx keep the contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_nginx import Nginx

BEFORE = """\
# who serves the shop
upstream {name} {{
    ip_hash;
    server 127.0.0.1:9001 weight=100;
    server 127.0.0.1:9002 weight=50 max_fails=2 down; # rests
    server 127.0.0.1:9003;
}}
upstream {name}-admin {{ server 127.0.0.1:9010; }}
"""


class NginxHarness:
    """Two upstreams of their own, in one file."""

    secrets = ()

    def __init__(self, nginx: Nginx, file: Path) -> None:
        self.nginx, self.file, self.name = nginx, file, file.stem
        self.part = f"{self.name}/127.0.0.1:9001"
        self.pid_file = nginx.folder / "nginx.pid"
        self.spec = ComponentSpec(
            kind="nginx",
            name="edge",
            options={"files": [str(file)], "command": nginx.command, "pid_file": str(self.pid_file)},
        )
        self.write(BEFORE.format(name=self.name))

    def write(self, text: str) -> None:
        """Writes the file, and reloads."""
        self.file.write_text(text)
        self.nginx.reload()

    def change(self, *changes: tuple[str, str]) -> None:
        """Replaces what matches patterns."""
        text = self.file.read_text()
        for pattern, new in changes:
            text = re.sub(pattern, new, text)
        self.write(text)

    def resolve(self, connection_id: str) -> Connection:
        """There is none."""
        raise AssertionError(connection_id)

    def migrate(self) -> None:
        """Weights move; a server comes and one goes; users are not held any more; an upstream comes."""
        new = (
            "" if "-new" in self.file.read_text() else f"upstream {self.name}-new {{\n    server 127.0.0.1:9020;\n}}\n"
        )
        self.change(
            (r"ip_hash;", "least_conn;"),
            (r"(:9001)[^;]*;", r"\1 weight=10;"),
            (r"(:9002)[^;]*;", r"\1 weight=90;"),
            (r"    server 127.0.0.1:9003;\n", "    server 127.0.0.1:9004 backup;\n"),
            (r"\Z", new),
        )

    def migrate_again(self) -> None:
        """Some of it again, and more."""
        self.change((r"(:9001)[^;]*;", r"\1 down;"), (r"(:9020);", r"\1; server 127.0.0.1:9021;"))

    def application_write(self) -> None:
        """Another upstream gets a server."""
        self.change((r"(:9010);", r"\1; server 127.0.0.1:9011;"))

    def drift(self) -> None:
        """Somebody else sets the weight that the migration has set."""
        self.change((r"(:9001)[^;]*;", r"\1 weight=33;"))

    def drifted(self) -> bool:
        """It is there."""
        return "127.0.0.1:9001 weight=33;" in self.file.read_text()

    def state(self) -> object:
        """What the file says, whatever the order of servers and the space between."""
        text = re.sub(r"#.*", "", self.file.read_text()).replace(self.name, "shop")
        blocks = re.findall(r"upstream (\S+) \{([^}]*)\}", text)
        return {
            name: sorted(" ".join(sorted(line.split())) for line in inside.split(";") if line.strip())
            for name, inside in blocks
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Nobody knows where nginx runs."""
        away = self.pid_file.rename(self.pid_file.with_suffix(".away"))
        try:
            yield
        finally:
            away.rename(self.pid_file)

    wrong_credentials = unreachable
    """Files know no credentials."""


class TestNginx(ResourceSuite):
    """The contract, kept by kind ``nginx``."""

    stride = 7

    @pytest.fixture
    def make_harness(self, nginx: Nginx, next_file: Callable[[], Path]) -> Callable[[], Harness]:
        """Makes files."""
        return lambda: NginxHarness(nginx, next_file())
