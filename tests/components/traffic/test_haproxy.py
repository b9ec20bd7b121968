"""HAProxy beyond the contract: sessions that are drained, reloads, keys that users choose, and answers that are not understood."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import pytest

from rollback_provider.components.traffic.haproxy import HaproxyComponent
from rollback_provider.components.traffic.haproxy_socket import RuntimeApi, Server
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentError, ComponentUnavailableError, StepFailedError
from rollback_provider.core.executor import execute
from rollback_provider.core.model import ComponentSpec, Plan
from rollback_provider.core.planner import generate
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify
from rollback_provider.store import SnapshotStore
from tests.contract.faults import Fuse, KilledError
from tests.fix_progress import RecordedProgress
from tests.parts import answers, find_program, free_port, running

CONFIGURATION = """
global
    stats socket {folder}/admin.sock level admin
    stats socket ipv4@127.0.0.1:{admin} level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 1m
    timeout server 1m
frontend door
    bind 127.0.0.1:{door}
    default_backend shop
backend shop
    stick-table type string len 32 size 64 expire 30m store server_id
    server old 127.0.0.1:{application} weight 10
    server new 127.0.0.1:{application} weight 10 disabled
"""


@dataclass
class Edge:
    """A HAProxy that serves somebody, and a rollback of it."""

    folder: Path
    door: int
    admin: int
    store: SnapshotStore
    progress: RecordedProgress = field(default_factory=RecordedProgress)
    options: dict[str, Any] = field(default_factory=dict)
    snapshot_id: str = ""

    @property
    def spec(self) -> ComponentSpec:
        """What is rolled back."""
        return ComponentSpec(
            kind="haproxy", name="edge", connection="edge", options={"backends": ["shop"], **self.options}
        )

    @property
    def api(self) -> RuntimeApi:
        """Its stats socket."""
        return RuntimeApi("test", self.resolve("edge"))

    def resolve(self, connection_id: str) -> Connection:
        """Its stats socket, over TCP."""
        return Connection(connection_id, "haproxy", host="127.0.0.1", port=self.admin)

    def states(self) -> dict[str, str]:
        """Of its servers."""
        return {server.name: server.state for server in self.api.servers("shop")}

    def migrated(self, *more: str) -> Plan:
        """From the old server to the new one, and the way back."""
        self.snapshot_id = take_snapshot(self.store, "move", [self.spec], self.resolve, self.progress, actor="test").id
        self.api.do("set server shop/new state ready")
        self.api.do("set server shop/old state maint")
        for command in more:
            self.api.do(command, "changed from", "New server registered", "Server deleted")
        take_checkpoint(self.store, self.snapshot_id, self.resolve, self.progress, actor="test")
        return self.plan()

    def plan(self) -> Plan:
        """The way back."""
        return generate(self.store, self.snapshot_id, self.resolve, self.progress, actor="test")

    def execute(self, plan: Plan, progress: RecordedProgress, watch: Callable[[Any], None] = lambda _: None) -> None:
        """Takes it."""
        execute(self.store, plan.rollback_id, self.resolve, progress, actor="test", watch=watch)

    def reload(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """As a service manager does it: a new process that takes over."""
        command = [find_program("haproxy"), "-f", str(self.folder / "haproxy.cfg"), "-sf", str(process.pid)]
        with running(command, lambda: process.poll() is not None, self.folder / "log"):
            yield


class Held(BaseRequestHandler):
    """Serves a user until they go."""

    def handle(self) -> None:
        """Greets, and waits."""
        self.request.sendall(b"welcome")
        self.request.recv(1)


class Application(ThreadingTCPServer):
    """Something behind HAProxy."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Held)


@pytest.fixture
def application() -> Iterator[int]:
    """The port of something that holds every connection until the user goes."""
    with Application() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def process(tmp_path: Path, application: int) -> Iterator[tuple[Path, int, int, subprocess.Popen[bytes]]]:
    """A HAProxy of this test."""
    door, admin = free_port(), free_port()
    text = CONFIGURATION.format(folder=tmp_path, door=door, admin=admin, application=application)
    (tmp_path / "haproxy.cfg").write_text(text)
    command = [find_program("haproxy"), "-f", str(tmp_path / "haproxy.cfg")]
    with running(command, lambda: answers(admin), tmp_path / "log") as started:
        yield tmp_path, door, admin, started


@pytest.fixture
def edge(process: tuple[Path, int, int, subprocess.Popen[bytes]], memory_store: SnapshotStore) -> Edge:
    """A rollback of it."""
    return Edge(*process[:3], memory_store)


class Watching(RecordedProgress):
    """Does something as soon as a server is seen to be drained."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._act = act
        self.seen = False

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Looks."""
        super().update(what, done=done, total=total, unit=unit)
        if what == "drain shop/new" and not self.seen:
            self.seen = True
            self._act()


def without_ids(servers: list[Server]) -> dict[str, Server]:
    """Servers that come back get new ids."""
    return {server.name: replace(server, id=0) for server in servers}


@contextmanager
def user(edge: Edge) -> Iterator[socket.socket]:
    """Somebody who is served."""
    with socket.create_connection(("127.0.0.1", edge.door), 10) as connection:
        assert connection.recv(7) == b"welcome"
        yield connection


def test_a_server_goes_when_its_sessions_have_ended(edge: Edge) -> None:
    edge.options["drain_seconds"] = 60
    plan = edge.migrated()
    assert any("shop/new: no new users" in note for note in plan.components[0].notes)
    seen: list[dict[str, str]] = []
    with user(edge) as somebody:

        def leave() -> None:
            seen.append(edge.states())
            assert edge.api.sessions("shop")["new"] == 1
            somebody.close()

        watching = Watching(leave)
        edge.execute(plan, watching)
    assert seen == [{"old": "ready", "new": "drain"}]
    assert edge.states() == {"old": "ready", "new": "maint"}
    assert not [message for message in watching.messages if "cut off" in message]


def test_a_server_goes_when_the_limit_has_passed(edge: Edge) -> None:
    edge.options["drain_seconds"] = 0.2
    plan = edge.migrated()
    with user(edge):
        edge.execute(plan, edge.progress)
    assert edge.states() == {"old": "ready", "new": "maint"}
    assert [message for message in edge.progress.messages if "1 sessions of shop/new are cut off" in message]


def test_a_drain_can_be_cancelled_and_goes_on_at_the_next_attempt(edge: Edge) -> None:
    edge.options["drain_seconds"] = 60
    plan = edge.migrated()
    components: list[HaproxyComponent] = []

    def cancel() -> None:
        components[0].cancel()

    with user(edge):
        with pytest.raises(ComponentError, match="Cancelled"):
            edge.execute(plan, Watching(cancel), watch=components.append)
        assert edge.states() == {"old": "ready", "new": "drain"}
    edge.execute(plan, edge.progress)
    assert edge.states() == {"old": "ready", "new": "maint"}


def test_a_worker_killed_between_two_commands_is_resumed(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.options |= {"drain_seconds": 0, "server_arguments": {"shop": "maxconn 9"}}
    edge.api.do("add server shop/gone 127.0.0.1:9004 weight 7", "New server registered")
    edge.api.do("set server shop/gone state ready")
    before, do = edge.api.servers("shop"), RuntimeApi.do
    for moment in count(1):
        plan = edge.migrated(
            "set server shop/gone state maint",
            "set server shop/new addr 127.0.0.1 port 9009",
            "set server shop/new weight 3",
            "set server shop/old weight 2",
            "del server shop/gone",
            "add server shop/more 127.0.0.1:9005 weight 7",
            "set server shop/more state ready",
        )
        fuse = Fuse(moment)

        def fused(api: RuntimeApi, command: str, *said: str, fuse: Fuse = fuse) -> None:
            fuse.tick()
            do(api, command, *said)

        with monkeypatch.context() as patched:
            patched.setattr(RuntimeApi, "do", fused)
            try:
                edge.execute(plan, edge.progress)
            except KilledError:
                pass
            else:
                break
        edge.execute(plan, edge.progress)
        assert without_ids(edge.api.servers("shop")) == without_ids(before), f"killed before command {moment}"
        record = verify(edge.store, plan.rollback_id, edge.resolve, edge.progress, actor="test")
        assert record.execution.status == "verified"
        assert record.execution.ledger.total() == 0, "nobody else has written"
    assert moment > 8


def test_a_reload_is_told(edge: Edge, process: tuple[Path, int, int, subprocess.Popen[bytes]]) -> None:
    edge.options["drain_seconds"] = 0
    plan = edge.migrated()
    assert not [note for note in plan.components[0].notes if "since the" in note]
    edge.execute(plan, edge.progress)
    verified = verify(edge.store, plan.rollback_id, edge.resolve, edge.progress, actor="test")
    assert verified.execution.verification.status is CheckStatus.PASSED
    edge.api.do("set server shop/new state ready")
    for _ in edge.reload(process[3]):
        assert edge.states() == {"old": "ready", "new": "maint"}, "what was set at run time is forgotten"
        (part,) = edge.plan().components
        assert [note for note in part.notes if "reloaded or restarted since the checkpoint" in note]
        again = verify(edge.store, plan.rollback_id, edge.resolve, edge.progress, actor="test")
        (check,) = [each for each in again.execution.verification.checks if each.name == "process"]
        assert check.status is CheckStatus.WARNING


@pytest.mark.parametrize("written", [r"a\;help", r"a=b", r"a\ b", r"a\\\;b", r"x<<"])
def test_a_key_that_a_user_chose_is_a_key_and_no_command(edge: Edge, written: str) -> None:
    edge.api.do(rf"set table shop key {written} data.server_id 1")
    (key,) = edge.api.stuck("shop")
    edge.api.stick("shop", {key: "new"})
    assert edge.api.stuck("shop") == {key: "new"}
    edge.api.unstick("shop", key)
    assert edge.api.stuck("shop") == {}


def test_a_key_that_no_command_can_name_is_left_out(edge: Edge) -> None:
    edge.api.do("set table shop key a\x01b data.server_id 1")
    edge.api.do(r"set table shop key a\\x01 data.server_id 1")
    assert edge.api.stuck("shop") == {r"a\\x01": "old"}


def test_what_there_is_not(edge: Edge) -> None:
    for ask in (edge.api.servers, edge.api.sessions):
        with pytest.raises(StepFailedError, match="no backend 'nowhere'"):
            ask("nowhere")
    with pytest.raises(StepFailedError, match="No such server"):
        edge.api.do("set server shop/nobody weight 1")


HEAD = "# be_id be_name srv_id srv_name srv_addr srv_admin_state srv_uweight srv_port"
STRANGE = [
    ("servers", b""),
    ("servers", b"2\n# be_id be_name\n"),
    ("servers", f"1\n{HEAD}\n2 shop 1 old 127.0.0.1 0 10\n".encode()),
    ("servers", f"1\n{HEAD}\n2 shop 1 old 127.0.0.1 zero 10 80\n".encode()),
    ("sessions", b""),
    ("sessions", b"# pxname,svname\nshop,old\n"),
    ("sessions", b"# pxname,svname,scur\nshop,old\n"),
    ("sessions", b"# pxname,svname,scur\nshop,old,many\n"),
    ("stuck", b""),
    ("stuck", b"# table: other, type: string, size:64, used:0\n"),
    ("stuck", b"# table: shop, type: string, size:64, used:1\n0x7f: key=ada use=0 exp=1 server_id=one\nmore\n"),
    ("stuck", b"\xff\xfe"),
    ("process", b"Name: HAProxy\n"),
]


@pytest.mark.parametrize(("method", "answer"), STRANGE)
def test_an_answer_that_is_not_understood_is_an_error(tmp_path: Path, method: str, answer: bytes) -> None:
    with (
        speaking(tmp_path / "strange.sock", method, answer) as api,
        pytest.raises(StepFailedError, match=r"shop.*it says|which process.*it says"),
    ):
        getattr(api, method)(*(["shop"] if method != "process" else []))


def test_a_socket_that_is_closed_at_once_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "nothing").write_text("")
    with pytest.raises(ComponentUnavailableError, match="gives no answer"):
        RuntimeApi("edge", Connection("edge", "haproxy", host=str(tmp_path / "nothing"))).servers("shop")


@contextmanager
def speaking(path: Path, method: str, answer: bytes) -> Iterator[RuntimeApi]:
    """A socket that gives one answer to the command that a method is about, and a good one to others."""
    about = {"servers": b"show servers", "sessions": b"show stat", "stuck": b"show table", "process": b"show info"}[
        method
    ]
    good = f"1\n{HEAD}\n2 shop 1 old 127.0.0.1 0 10 80\n".encode()

    def speak(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer if connection.recv(4096).startswith(about) else good)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = Thread(target=speak, args=(listener,), daemon=True)
        thread.start()
        yield RuntimeApi("edge", Connection("edge", "haproxy", host=str(path)))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
