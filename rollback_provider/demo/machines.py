"""What the shop consists of beside its database: settings, releases, flags, two web servers, a load balancer, and a name.

HAProxy, BIND and git must be there; ``make demo-cutover`` fetches the first two.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import Any

from rollback_provider.clients.command import Program
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.demo.processes import answers, free_port, running, unpacked

DOMAIN = "shop.test"
KEY = "shop"
SLOTS = ("blue", "green")
FLAGS = {
    "$schema": "https://flagd.dev/schema/v0/flags.json",
    "flags": {
        "delivery-notes": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"},
        "winter-sale": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
    },
}
HAPROXY = """
global
    stats socket {folder}/admin.sock level admin
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
frontend front
    bind 127.0.0.1:{port}
    default_backend shop
backend shop
    balance roundrobin
    stick-table type string len 32 size 1k expire 30m
    stick on req.cook(user)
    server blue 127.0.0.1:{blue}
    server green 127.0.0.1:{green} disabled
"""
BIND = """
options {{
    directory "{folder}"; pid-file none; session-keyfile "{folder}/session.key"; managed-keys-directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; notify no; dnssec-validation no;
}};
controls {{ }};
key {key} {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{zone}" {{ type primary; file "{zone}.zone"; allow-transfer {{ key {key}; }}; allow-update {{ key {key}; }}; }};
"""
ZONE = """$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
www 60 IN A 192.0.2.10
"""


@dataclass(frozen=True)
class Machines:
    """The systems, running.

    :param home: directory of settings, releases and flags
    :param url: of the shop, as its users reach it
    :param connections: Airflow's connections to them, by id
    """

    home: Path
    url: str
    connections: Mapping[str, Mapping[str, Any]]


@contextmanager
def running_machines(folder: Path, packages: Path) -> Iterator[Machines]:
    """Makes the systems afresh below `folder` and runs them until the block ends. Raises ConfigurationError where a program is missing.

    :param packages: where packages of Debian may have been unpacked; a program that is not there is looked for on the PATH
    """
    haproxy, named = _find("haproxy", packages), _find("named", packages)
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / "srv"
    _make_releases(home)
    (home / "settings").mkdir()
    (home / "settings" / "shop.toml").write_text('currency = "EUR"\n')
    (home / "flags.json").write_text(json.dumps(FLAGS, indent=2))
    ports = {name: free_port() for name in (*SLOTS, "edge", "names")}
    socket = folder / "admin.sock"
    secret = b64encode(token_bytes(32)).decode()
    (folder / "haproxy.cfg").write_text(
        HAPROXY.format(folder=folder, port=ports["edge"], blue=ports["blue"], green=ports["green"])
    )
    (folder / "named.conf").write_text(
        BIND.format(folder=folder, port=ports["names"], zone=DOMAIN, key=KEY, secret=secret)
    )
    (folder / f"{DOMAIN}.zone").write_text(ZONE)
    environment = unpacked(packages)
    with ExitStack() as running_now:
        for slot in SLOTS:
            command = [sys.executable, "-m", "rollback_provider.demo.web", slot, str(home), str(ports[slot])]
            running_now.enter_context(running(command, partial(answers, ports[slot]), folder / f"{slot}.log"))
        command = [haproxy, "-f", str(folder / "haproxy.cfg")]
        running_now.enter_context(running(command, socket.exists, folder / "haproxy.log", environment))
        command = [named, "-g", "-n", "1", "-c", str(folder / "named.conf")]
        ready = partial(serves, ports["names"], DOMAIN)
        running_now.enter_context(running(command, ready, folder / "named.log", environment))
        names = {"host": "127.0.0.1", "port": ports["names"], "login": KEY, "password": secret}
        yield Machines(
            home,
            f"http://127.0.0.1:{ports['edge']}",
            {
                "edge_haproxy": {"conn_type": "haproxy", "host": str(socket)},
                "names_dns": {"conn_type": "dns"} | names,
            },
        )


def serves(port: int, zone: str) -> bool:
    """Whether a name server on this port of loopback answers for the zone."""
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode

    query = dns.message.make_query(zone, "SOA")
    try:
        return dns.query.tcp(query, "127.0.0.1", port=port, timeout=2).rcode() == dns.rcode.NOERROR
    except (OSError, EOFError, dns.exception.DNSException):
        return False


def _find(name: str, packages: Path) -> str:
    place = os.pathsep.join([str(packages / "usr/sbin"), os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=place)
    if found is None:
        raise ConfigurationError(
            f"There is no {name}", state="Nothing was started", next_step="Let make fetch it: make demo-cutover"
        )
    return found


def _make_releases(home: Path) -> None:
    """A repository with two tags, a directory for each, and two links that lead to the first."""
    repository = home / "repository"
    repository.mkdir(parents=True)
    who = {f"GIT_{role}_{what}": "shop@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    git = Program("shop", "git", cwd=repository, environment=who, install="Install git")
    git.run("init", "--quiet", "--template=", timeout=60)
    for tag, version in {"v1": "1.0", "v2": "2.0"}.items():
        (repository / "version").write_text(f"{version}\n")
        for arguments in (["add", "--all"], ["commit", "--quiet", f"--message={tag}"], ["tag", tag]):
            git.run(*arguments, timeout=60)
        place = home / "releases" / tag
        place.mkdir(parents=True)
        shutil.copy2(repository / "version", place)
    for slot in SLOTS:
        (home / slot).symlink_to("releases/v1")
