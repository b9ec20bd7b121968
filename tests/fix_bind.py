"""A real BIND, once a session, with a zone for every test that wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rollback_provider.demo.machines import serves
from tests.parts import answers, find_program, free_port, running
from tests.parts.forwarder import Forwarder

ZONES = 400
KEY = "rollback-test"
SECRET = "c2VjcmV0IG9mIGEgdGVzdCwgbm93aGVyZSBlbHNl"  # noqa: S105  of a server that lives as long as the tests
CONFIGURATION = """
options {{
    directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key"; managed-keys-directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; notify no; dnssec-validation no;
}};
controls {{ }};
key {key} {{ algorithm hmac-sha256; secret "{secret}"; }};
"""
ZONE = """zone "{name}" {{ type primary; file "{name}.zone"; allow-transfer {{ key {key}; }}; allow-update {{ key {key}; }}; }};
"""
RECORDS = """$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
@ IN MX 10 mail
@ IN TXT "v=spf1 -all"
ns IN A 127.0.0.1
mail IN A 192.0.2.5
www 60 IN A 192.0.2.1
api 60 IN CNAME www
old IN A 192.0.2.9
"""


@pytest.fixture(scope="session")
def bind() -> Iterator[Forwarder]:
    """The way to the server."""
    with TemporaryDirectory(prefix="rollback-bind-") as name:
        folder, port = Path(name), free_port()
        text = CONFIGURATION.format(folder=folder, port=port, key=KEY, secret=SECRET)
        for zone in ["shop.test", *(f"zone{number}.test" for number in range(ZONES))]:
            text += ZONE.format(name=zone, key=KEY)
            (folder / f"{zone}.zone").write_text(RECORDS)
        (folder / "named.conf").write_text(text)
        command = [find_program("named"), "-g", "-n", "1", "-c", str(folder / "named.conf")]
        with running(command, lambda: answers(port) and serves(port, f"zone{ZONES - 1}.test"), folder / "log"):
            forwarder = Forwarder(port)
            yield forwarder
            forwarder.close()


@pytest.fixture(scope="session")
def next_zone() -> Callable[[], str]:
    """Gives the name of a zone that no test has used."""
    numbers = count()
    return lambda: f"zone{next(numbers)}.test"
