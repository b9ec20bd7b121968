"""A real PowerDNS, once a session, with a zone for every test that wants one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tests.parts import DEBIAN, answers, find_program, free_port, running
from tests.parts.forwarder import Forwarder

API_KEY = "key-of-a-test"
ZONES = "/api/v1/servers/localhost/zones"
RECORDS = [
    ("www", "A", 60, ["192.0.2.1"]),
    ("api", "CNAME", 60, ["www.{zone}"]),
    ("old", "A", 300, ["192.0.2.9"]),
    ("", "MX", 300, ["10 mail.{zone}"]),
]


@dataclass(frozen=True)
class Powerdns:
    """A server, and the way to it."""

    client: httpx.Client
    way: Forwarder

    def send(self, method: str, path: str, value: Any = None) -> Any:
        """Speaks to it past the component."""
        answer = self.client.request(method, f"{ZONES}{path}", json=value)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@pytest.fixture(scope="session")
def powerdns() -> Iterator[Powerdns]:
    """The server."""
    with TemporaryDirectory(prefix="rollback-powerdns-") as folder:
        schema = next(DEBIAN.glob("usr/share/pdns-backend-sqlite3/**/schema.sqlite3.sql"))
        with closing(sqlite3.connect(f"{folder}/zones")) as database:
            database.executescript(schema.read_text())
        port = free_port()
        settings = {
            "config-dir": folder,
            "socket-dir": folder,
            "module-dir": next(DEBIAN.glob("usr/lib/*/pdns")),
            "launch": "gsqlite3",
            "gsqlite3-database": f"{folder}/zones",
            "gsqlite3-pragma-synchronous": "0",
            "local-address": "127.0.0.1",
            "local-port": free_port(),
            "webserver": "yes",
            "webserver-address": "127.0.0.1",
            "webserver-port": port,
            "api": "yes",
            "api-key": API_KEY,
            "daemon": "no",
            "guardian": "no",
            "security-poll-suffix": "",
            "zone-cache-refresh-interval": "0",
        }
        command = [find_program("pdns_server"), *(f"--{name}={value}" for name, value in settings.items())]
        with (
            running(command, lambda: answers(port), Path(folder) / "log"),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": API_KEY}) as client,
        ):
            way = Forwarder(port)
            yield Powerdns(client, way)
            way.close()


@pytest.fixture(scope="session")
def next_powerdns_zone(powerdns: Powerdns) -> Callable[[], str]:
    """Makes a zone that no test has used; gives its name, with a dot at the end."""
    numbers = count()

    def make() -> str:
        zone = f"zone{next(numbers)}.test."
        record_sets = [
            {
                "name": f"{name}.{zone}".lstrip("."),
                "type": kind,
                "ttl": ttl,
                "records": [{"content": each.format(zone=zone)} for each in contents],
                "comments": [{"account": "ada", "content": f"made for {name or 'all'}"}],
            }
            for name, kind, ttl, contents in RECORDS
        ]
        powerdns.send(
            "POST", "", {"name": zone, "kind": "Native", "nameservers": [f"ns.{zone}"], "rrsets": record_sets}
        )
        return zone

    return make
