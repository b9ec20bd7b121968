"""Caddy beyond the contract: requests that go back, fields of one object, and what cannot be named or is refused."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from rollback_provider.components.traffic.caddy import CaddyComponent
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import Action, ComponentSpec
from rollback_provider.resources import Change, Digests, MovedError
from rollback_provider.store import SnapshotStore
from tests.contract.suite import Scenario
from tests.contract.test_caddy import CaddyHarness
from tests.fix_caddy import Caddy
from tests.fix_progress import RecordedProgress
from tests.parts import free_port


@pytest.fixture
def edge(caddy: Caddy, next_server: Callable[[], str]) -> CaddyHarness:
    """A server of Caddy."""
    return CaddyHarness(caddy, next_server())


def component(edge: CaddyHarness, *paths: str) -> CaddyComponent:
    """The kind, for other paths."""
    spec = ComponentSpec(kind="caddy", name="edge", connection="caddy", options={"paths": list(paths)})
    return CaddyComponent(spec, edge.resolve)


def write(edge: CaddyHarness, *changes: Change) -> None:
    """Writes past the engine."""
    made = component(edge, "/id/none")
    made.write(changes, Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    made.close()


def test_requests_go_where_they_went(edge: CaddyHarness, caddy: Caddy, memory_store: SnapshotStore) -> None:
    port = free_port()
    route = f"{edge.server}/routes"
    caddy.send("PATCH", f"{edge.server}/listen", [f"127.0.0.1:{port}"])
    caddy.send("PATCH", route, [{"handle": [{"@id": f"answer{port}", "handler": "static_response", "body": "blue"}]}])
    edge.spec = edge.spec.model_copy(update={"options": {"paths": [f"/id/answer{port}"]}})
    scenario = Scenario(edge, memory_store)
    snapshot = scenario.snapshot()
    caddy.send("PATCH", f"/id/answer{port}/body", "green")
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "green"
    scenario.execute(scenario.generate(snapshot))
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "blue"


def test_another_field_of_the_same_object_stays(edge: CaddyHarness, caddy: Caddy, memory_store: SnapshotStore) -> None:
    scenario = Scenario(edge, memory_store)
    snapshot = scenario.snapshot()
    edge.migrate()
    scenario.checkpoint(snapshot)
    caddy.send("POST", f"{edge.part}/load_balancing", {"selection_policy": {"policy": "random"}})
    plan = scenario.generate(snapshot)
    assert plan.ledger.total(Action.MERGED) == 1
    scenario.execute(plan)
    proxy = caddy.send("GET", edge.part)
    assert (proxy["upstreams"], proxy["load_balancing"]["selection_policy"]) == (
        [{"dial": "127.0.0.1:9001"}],
        {"policy": "random"},
    )


def test_an_object_that_is_not_what_it_was_is_not_written(edge: CaddyHarness, caddy: Caddy) -> None:
    now = caddy.send("GET", edge.part)
    other = {**now, "upstreams": []}
    for wrong in (Change(edge.part, other, now), Change(edge.part, other, None), Change(edge.part, None, now)):
        with pytest.raises(MovedError):
            write(edge, wrong)
    assert caddy.send("GET", edge.part) == now


def test_the_tag_guards_against_a_write_in_between(
    edge: CaddyHarness, caddy: Caddy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = caddy.send("GET", edge.part)
    get = CaddyComponent._get

    def interrupted(self: CaddyComponent, address: str) -> tuple[Any, str]:
        found = get(self, address)
        edge.drift()
        return found

    monkeypatch.setattr(CaddyComponent, "_get", interrupted)
    for target in ({**now, "upstreams": []}, None):
        edge.undrift()
        with pytest.raises(MovedError):
            write(edge, Change(edge.part, now, target))
        assert edge.drifted()


def test_what_caddy_cannot_load_is_refused_and_nothing_is_changed(edge: CaddyHarness, caddy: Caddy) -> None:
    now = caddy.send("GET", edge.part)
    with pytest.raises(StepFailedError, match=r"unknown module: http\.handlers\.nonsense"):
        write(edge, Change(edge.part, now, {**now, "handler": "nonsense"}))
    assert caddy.send("GET", edge.part) == now


def test_an_object_with_an_id_that_is_gone_is_refused_by_name(
    edge: CaddyHarness, caddy: Caddy, memory_store: SnapshotStore
) -> None:
    scenario = Scenario(edge, memory_store)
    snapshot = scenario.snapshot()
    caddy.send("DELETE", edge.part)
    with pytest.raises(UnsupportedError, match=edge.part):
        scenario.generate(snapshot)


def test_members_that_cannot_be_named(edge: CaddyHarness, caddy: Caddy) -> None:
    with pytest.raises(ConfigurationError, match="is no object"):
        component(edge, f"{edge.server}/listen/*").read(Digests())
    caddy.send("PATCH", f"{edge.server}/named_routes", {"a/b": {"handle": []}})
    with pytest.raises(UnsupportedError, match="a/b"):
        component(edge, f"{edge.server}/named_routes/*").read(Digests())
    assert component(edge, f"{edge.server}/nothing/*", "/config/apps/nothing/at/all").read(Digests()) == {}


@pytest.mark.parametrize(
    "paths",
    [
        [],
        ["/load"],
        ["/config/"],
        ["/config"],
        ["/id/a//b"],
        ["/config/apps/http/servers/s/routes/0"],
        ["/config/*/http"],
        ["/config/apps/http", "/config/apps/http/servers/*"],
        ["/id/a", "/id/a"],
    ],
)
def test_paths_that_make_no_sense(paths: list[str]) -> None:
    spec = ComponentSpec(kind="caddy", name="edge", connection="caddy", options={"paths": paths})
    with pytest.raises(ConfigurationError, match="paths"):
        CaddyComponent(spec, lambda name: Connection(name, "http"))


class Page(BaseHTTPRequestHandler):
    """Says something, whatever it is asked."""

    def do_GET(self) -> None:
        """Says it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"It works!")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_another_server_than_caddy() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        spec = ComponentSpec(kind="caddy", name="edge", connection="caddy", options={"paths": ["/id/a"]})
        made = CaddyComponent(spec, lambda name: Connection(name, "http", host="127.0.0.1", port=server.server_port))
        with pytest.raises(StepFailedError, match="admin API of Caddy"):
            made.read(Digests())
        made.close()
        server.shutdown()
