"""Upstreams of nginx beyond the contract: text that stays, configurations that nginx refuses, requests while it reloads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from rollback_provider.components.traffic.nginx import NginxComponent
from rollback_provider.components.traffic.nginx_text import NginxTextError, edit, parse, resources
from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_nginx import NginxHarness
from tests.fix_nginx import Nginx
from tests.fix_progress import RecordedProgress

TEXT = """\
map $uri $kind { default a; "~^/x{2}" b; }
upstream shop { # the shop
    hash ${cookie_user}x consistent;
    server unix:/run/shop.sock weight=5 down; # first

    server 10.0.0.7:80 max_fails=3;
}
server { listen 80; location / { proxy_pass http://shop; } }
"""


@pytest.fixture
def shop(nginx: Nginx, next_file: Callable[[], Path]) -> NginxHarness:
    return NginxHarness(nginx, next_file())


def component(shop: NginxHarness, **options: Any) -> NginxComponent:
    """The kind, with other options."""
    spec = shop.spec.model_copy(update={"options": {**shop.spec.options, **options}})
    return NginxComponent(spec, shop.resolve)


def test_upstreams_are_read() -> None:
    assert resources(TEXT, "/f") == {
        "shop": {"file": "/f", "directives": ["hash ${cookie_user}x consistent"]},
        "shop/unix:/run/shop.sock": {"weight": "5", "down": ""},
        "shop/10.0.0.7:80": {"weight": "1", "max_fails": "3"},
    }


@pytest.mark.parametrize(
    ("address", "target", "was", "becomes"),
    [
        ("shop/10.0.0.7:80", {"weight": "2"}, "server 10.0.0.7:80 max_fails=3;", "server 10.0.0.7:80 weight=2;"),
        ("shop/10.0.0.7:80", None, "    server 10.0.0.7:80 max_fails=3;\n", ""),
        ("shop/unix:/run/shop.sock", None, "server unix:/run/shop.sock weight=5 down;", ""),
        ("shop/a:1", {"weight": "1", "backup": ""}, "max_fails=3;\n}", "max_fails=3;\n    server a:1 backup;\n}"),
        ("shop", {"file": "/f", "directives": []}, "    hash ${cookie_user}x consistent;\n", ""),
        (
            "new",
            {"file": "/f", "directives": ["ip_hash"]},
            "shop; } }\n",
            "shop; } }\nupstream new {\n    ip_hash;\n}\n",
        ),
        ("gone/a:1", None, "", ""),
        ("gone", None, "", ""),
    ],
)
def test_all_else_in_a_file_stays(address: str, target: dict[str, Any] | None, was: str, becomes: str) -> None:
    assert was in TEXT
    assert edit(TEXT, Change(address, None, target)) == TEXT.replace(was, becomes, 1)


def test_a_block_on_one_line() -> None:
    text = "upstream a { server x:1; }\n"
    added = edit(text, Change("a/y:2", None, {"weight": "1"}))
    assert [*parse(added)["a"].servers] == ["x:1", "y:2"]
    assert [*parse(edit(added, Change("a/x:1", {}, None)))["a"].servers] == ["y:2"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("upstream a { server x:1; server x:1; }", "names server x:1 twice"),
        ("upstream a { server x:1; } upstream a { server y:1; }", "stands in it twice"),
        ("upstream a { server x:1; if ($b) { c; } }", "holds more than directives"),
        ("upstream a { server x:1 }", "holds more than directives"),
        ("upstream a { server x:1;", "has no end"),
        ("upstream { server x:1; }", "names no upstream"),
        ("map $a $b { default c;", "has no end"),
        ("worker_processes 1", "has no end"),
    ],
)
def test_texts_that_cannot_be_edited(text: str, why: str) -> None:
    with pytest.raises(NginxTextError, match=why):
        parse(text)


def test_what_nginx_does_not_take_is_put_back(shop: NginxHarness, memory_store: Store) -> None:
    """Then the rollback can go on."""
    scenario, before = Scenario(shop, memory_store), shop.state()
    _, plan = scenario.migrated(write=False)
    migrated = shop.file.read_text()
    broken = shop.file.with_name("broken.conf")
    broken.write_text("no_such_directive;\n")
    try:
        with pytest.raises(
            StepFailedError, match=r"edge: .*unknown directive.*The files are as they were before this step"
        ):
            scenario.execute(plan)
    finally:
        broken.unlink()
    assert shop.file.read_text() == migrated
    scenario.execute(plan)
    scenario.assert_back(plan, before)
    assert "# who serves the shop" in shop.file.read_text()


def test_an_upstream_is_not_removed_with_servers_of_others(shop: NginxHarness, memory_store: Store) -> None:
    """Neither by a plan, nor where they come after it."""
    scenario, before = Scenario(shop, memory_store), shop.state()
    snapshot, plan = scenario.migrated(write=False)
    shop.change((r"(:9020);", r"\1; server 127.0.0.1:9099;"))
    with pytest.raises(
        UnsupportedError, match=r"edge: upstream .*-new has servers that others have added: 127.0.0.1:9099"
    ):
        scenario.generate(snapshot)
    with pytest.raises(StepFailedError, match=r"edge: The files cannot be edited: .*127.0.0.1:9099"):
        scenario.execute(plan)
    shop.change((r" server 127.0.0.1:9099;", ""))
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_a_file_that_nobody_has_loaded_is_seen(shop: NginxHarness, memory_store: Store) -> None:
    scenario = Scenario(shop, memory_store)
    _, plan = scenario.migrated()
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"
    written = shop.file.stat().st_mtime + 1
    os.utime(shop.file, (written, written))
    record = scenario.verify(plan)
    assert record.execution.status == "executed"
    (loaded,) = (each for each in record.execution.verification.checks if each.name == "loaded")
    assert f"is older than {shop.file}" in loaded.differences[0]


def test_a_script_is_a_patch_and_a_reload(shop: NginxHarness, memory_store: Store) -> None:
    _, plan = Scenario(shop, memory_store).migrated()
    lines = plan.steps[0].script.splitlines()
    assert lines[0] == f"patch {shop.file} <<'END_OF_PATCH'"
    assert "-    server 127.0.0.1:9001 weight=10;" in lines
    assert "+    server 127.0.0.1:9001 weight=100;" in lines
    assert lines[-1].endswith("-s reload")


def test_a_site_that_is_enabled_by_a_link_stays_so(shop: NginxHarness, memory_store: Store, tmp_path: Path) -> None:
    available = shop.file.rename(tmp_path / "available.conf")
    shop.file.symlink_to(available)
    before = shop.state()
    scenario = Scenario(shop, memory_store)
    _, plan = scenario.migrated(write=False)
    scenario.execute(plan)
    scenario.assert_back(plan, before)
    assert shop.file.readlink() == available


def test_users_who_stick_are_told_of(shop: NginxHarness, memory_store: Store) -> None:
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.change((r"(:9001)[^;]*;", r"\1 weight=1;"))
    notes = scenario.generate(snapshot).components[0].notes
    assert any(note.startswith(f"{shop.name}: users stick to servers by hash") for note in notes)


def test_somebody_is_faster(shop: NginxHarness) -> None:
    before = shop.file.read_text()
    for now in (None, {"weight": "7"}):
        with pytest.raises(MovedError, match="9001"):
            component(shop).write([Change(shop.part, now, {"weight": "1"})], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    assert shop.file.read_text() == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"files": ["/nowhere/shop.conf"]}, ConfigurationError, r"edge: There is no file /nowhere/shop.conf"),
        ({"files": []}, ConfigurationError, "files"),
        ({"files": ["shop.conf"]}, ConfigurationError, "files"),
        ({"command": []}, ConfigurationError, "command"),
        ({"reload_seconds": 0}, ConfigurationError, "reload_seconds"),
    ],
)
def test_what_there_is_not(shop: NginxHarness, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        component(shop, **options).read(Digests())


def test_a_file_that_is_no_text_or_twice_there(shop: NginxHarness, next_file: Callable[[], Path]) -> None:
    other = next_file()
    other.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        component(shop, files=[str(other)]).read(Digests())
    other.write_bytes(shop.file.read_bytes())
    with pytest.raises(UnsupportedError, match="stands in another file, too"):
        component(shop, files=[str(shop.file), str(other)]).read(Digests())
    other.write_text("upstream a {")
    with pytest.raises(UnsupportedError, match="upstream a has no end"):
        component(shop, files=[str(other)]).read(Digests())


def test_a_program_that_is_missing_or_hangs(shop: NginxHarness, memory_store: Store, tmp_path: Path) -> None:
    """What it was to test is put back."""
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.migrate()
    migrated = shop.file.read_text()
    hanging = tmp_path / "nginx"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    now, then = component(shop).read(memory_store), resources_of(memory_store, snapshot)
    change = Change(shop.part, now[shop.part], then[shop.part])
    for command, error, message in (
        (str(tmp_path / "absent"), ConfigurationError, "is not installed"),
        (str(hanging), StepFailedError, "took longer than 0.2 seconds"),
    ):
        edge = component(shop, command=[command], reload_seconds=0.2)
        with pytest.raises(error, match=message):
            edge.write([change], memory_store, RecordedProgress())
        assert shop.file.read_text() == migrated


def resources_of(store: Store, snapshot: Any) -> Any:
    """The state in a snapshot."""
    from rollback_provider.resources.state import load_state

    return load_state(store, snapshot.components[0].payload["state"])


class Backend(BaseHTTPRequestHandler):
    """Says its port."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Says it."""
        body = str(self.connection.getsockname()[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def backend() -> Iterator[int]:
    """A server; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_no_request_fails_while_traffic_goes_back(
    shop: NginxHarness, next_file: Callable[[], Path], memory_store: Store
) -> None:
    """A client asks all the time; before the rollback the new server answers, after it the old one."""
    with backend() as old, backend() as new:
        way = shop.nginx.folder / f"{shop.name}.sock"
        next_file().write_text(f"server {{ listen unix:{way}; location / {{ proxy_pass http://{shop.name}; }} }}\n")
        shop.write(f"upstream {shop.name} {{\n    server 127.0.0.1:{old};\n    server 127.0.0.1:{new} down;\n}}\n")
        scenario = Scenario(shop, memory_store)
        snapshot = scenario.snapshot()
        shop.write(f"upstream {shop.name} {{\n    server 127.0.0.1:{old} down;\n    server 127.0.0.1:{new};\n}}\n")
        plan = scenario.generate(snapshot)
        stop, answers = Event(), list[tuple[int, str]]()

        def ask() -> None:
            while not stop.is_set():
                with httpx.Client(transport=httpx.HTTPTransport(uds=str(way))) as client:
                    answer = client.get("http://shop/")
                    answers.append((answer.status_code, answer.text))

        asking = Thread(target=ask)
        asking.start()
        try:
            while not answers:
                stop.wait(0.01)
            scenario.execute(plan)
            asked = len(answers)
            while len(answers) < asked + 5:
                stop.wait(0.01)
        finally:
            stop.set()
            asking.join()
    assert {status for status, _ in answers} == {200}
    assert answers[0][1] == str(new)
    assert {text for _, text in answers[asked + 1 :]} == {str(old)}
