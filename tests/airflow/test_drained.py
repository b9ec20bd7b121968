"""A task waits until a server of a real HAProxy has no sessions left, in the worker or in the triggerer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from rollback_provider.core.model import utcnow
from rollback_provider.sensors import TrafficDrainedSensor
from rollback_provider.triggers import TrafficDrainedTrigger
from tests.fix_airflow import Run
from tests.parts import answers, find_program, free_port, running

CONFIGURATION = """
global
    stats socket {folder}/admin.sock level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 1m
    timeout server 1m
frontend door
    bind 127.0.0.1:{door}
    default_backend shop
backend shop
    server s1 127.0.0.1:{application}
"""


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


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a HAProxy whose server s1 holds its users; its socket is connection ``edge``."""
    folder, door = tmp_path_factory.mktemp("edge"), free_port()
    with Application(("127.0.0.1", 0), Held) as application, pytest.MonkeyPatch.context() as environment:
        Thread(target=application.serve_forever, daemon=True).start()
        text = CONFIGURATION.format(folder=folder, door=door, application=application.server_address[1])
        (folder / "haproxy.cfg").write_text(text)
        environment.setenv("AIRFLOW_CONN_EDGE", f'{{"conn_type": "haproxy", "host": "{folder}/admin.sock"}}')
        with running(
            [find_program("haproxy"), "-f", str(folder / "haproxy.cfg")], lambda: answers(door), folder / "log"
        ):
            yield door
        application.shutdown()


@contextmanager
def user(door: int) -> Iterator[socket.socket]:
    """Somebody who is served."""
    with socket.create_connection(("127.0.0.1", door), 10) as connection:
        assert connection.recv(7) == b"welcome"
        yield connection


COMPONENT = {"kind": "haproxy", "name": "edge", "connection": "edge", "backends": ["shop"]}


def sensor(**what: Any) -> TrafficDrainedSensor:
    """The task."""
    given: dict[str, Any] = {"component": COMPONENT, "server": "shop/s1", "poke_interval": 0.05}
    return TrafficDrainedSensor(task_id="wait", **given | what)


def context(ago: timedelta = timedelta()) -> dict[str, Any]:
    """Of a task that has begun some time ago."""
    return {"ti": SimpleNamespace(start_date=utcnow() - ago)}


async def event(trigger: TrafficDrainedTrigger) -> Any:
    """The first one that it fires."""
    async for fired in trigger.run():
        return fired.payload
    raise AssertionError("nothing was fired")


def test_a_server_with_sessions_is_waited_for(door: int) -> None:
    with user(door):
        assert not sensor().poke(context())
    for _ in range(200):
        if found := sensor().poke(context()):
            break
    assert found.xcom_value == 0


def test_waiting_ends_with_the_limit_and_tells_what_is_left(door: int) -> None:
    with user(door):
        assert not sensor(limit=timedelta(hours=1)).poke(context(timedelta(minutes=59)))
        found = sensor(limit=timedelta(hours=1)).poke(context(timedelta(minutes=61)))
    assert found
    assert found.xcom_value == 1


def test_the_triggerer_waits_until_the_last_session_has_ended(door: int) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    with user(door) as somebody:
        with pytest.raises(TaskDeferred) as deferred:
            sensor(deferrable=True).execute(context())
        path, arguments = deferred.value.trigger.serialize()
        assert path == f"{TrafficDrainedTrigger.__module__}.{TrafficDrainedTrigger.__name__}"

        async def wait() -> Any:
            waiting = asyncio.create_task(event(TrafficDrainedTrigger(**arguments)))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            somebody.close()
            return await waiting

        found = asyncio.run(wait())
    assert sensor(deferrable=True).execute_complete(context(), found) == 0


def test_the_triggerer_stops_at_the_limit(door: int) -> None:
    with user(door):
        trigger = TrafficDrainedTrigger(component=COMPONENT, server="shop/s1", until=utcnow().isoformat(), interval=60)
        found = asyncio.run(event(trigger))
    assert sensor().execute_complete(context(), found) == 1


def test_what_is_drained_already_needs_no_triggerer(door: int) -> None:
    for _ in range(200):
        if sensor().poke(context()):
            break
    assert sensor(deferrable=True).execute(context()) == 0


def test_what_cannot_be_waited_for_fails_at_once(door: int) -> None:
    for wrong in (
        {"server": "shop/s9"},
        {"server": "s1"},
        {"component": {"kind": "files", "name": "x", "root": "/srv/x"}},
    ):
        with pytest.raises(AirflowFailException, match=r"no server|no sessions"):
            sensor(**wrong).poke(context())


def test_an_error_in_the_triggerer_fails_the_task(door: int) -> None:
    trigger = TrafficDrainedTrigger(component=COMPONENT, server="shop/s9", until=None, interval=60)
    found = asyncio.run(event(trigger))
    with pytest.raises(AirflowException, match="no server 'shop/s9'"):
        sensor().execute_complete(context(), found)


def test_a_dag_waits_in_the_triggerer(door: int, run_dag: Callable[..., Run]) -> None:
    with user(door):
        run = run_dag("drained", {"server": "s1"})
    assert run.state == "success"
    assert run.xcom("wait") == 1
