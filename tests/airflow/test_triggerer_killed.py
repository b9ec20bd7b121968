"""A triggerer that is killed in the middle of a measurement: another process goes on with what Airflow holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from signal import SIGKILL
from threading import Thread
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.exceptions import TaskDeferred

from rollback_provider.probes.watching import Watch
from rollback_provider.sensors import RollbackTriggerSensor

PATIENCE = 120
"""Seconds for what takes a few."""


class Site(BaseHTTPRequestHandler):
    """Says when it is asked, and answers what it is told then."""

    asked: ClassVar[SimpleQueue[SimpleQueue[int]]]

    def do_GET(self) -> None:
        """Answers, if anybody is there to hear it."""
        answer: SimpleQueue[int] = SimpleQueue()
        self.asked.put(answer)
        status = answer.get(timeout=PATIENCE)
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Site]]:
    """Connection ``shop_site``."""
    Site.asked = SimpleQueue()
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        connection = {"conn_type": "http", "host": "127.0.0.1", "port": server.server_port}
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_SITE", json.dumps(connection))
        yield Site
        server.shutdown()


class Triggerer:
    """A process that runs triggers."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.airflow.triggerer"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        """It is starting."""
        return self

    def __exit__(self, *_: object) -> None:
        """It is gone."""
        self._process.kill()
        self._process.communicate()

    def begin(self, stored: str) -> None:
        """Has it run a trigger."""
        assert self._process.stdin
        self._process.stdin.write(f"{stored}\n")
        self._process.stdin.flush()

    def event(self) -> Any:
        """What the trigger has fired."""
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def die(self) -> int:
        """Kills it, and gives its exit code."""
        self._process.send_signal(SIGKILL)
        return self._process.wait(PATIENCE)


def stored(deferred: TaskDeferred) -> str:
    """The trigger as Airflow stores it."""
    return json.dumps(deferred.trigger.serialize())


def until(stored: str) -> Any:
    """The end of the window that a stored trigger knows."""
    return Watch.model_validate(json.loads(stored)[1]["watch"]).until


def test_another_triggerer_goes_on_where_the_killed_one_was(site: type[Site]) -> None:
    """The breach that Airflow holds counts, the measurement that died is made again, and the window ends when it would have ended."""
    probe = {"kind": "http", "connection": "shop_site", "path": "/checkout", "timeout": PATIENCE}
    task = RollbackTriggerSensor(
        task_id="watch",
        conditions=[{"name": "checkout", "probe": probe, "above": 299}],
        bake=timedelta(hours=1),
        interval=timedelta(seconds=0.05),
        breaches=2,
    )
    pushed: dict[str, Any] = {}
    context = {"ti": SimpleNamespace(task_id="watch", xcom_push=lambda key, value: pushed.update({key: value}))}
    with Triggerer() as first, Triggerer() as second:
        with pytest.raises(TaskDeferred) as begun:
            task.execute(context)
        first.begin(stored(begun.value))
        site.asked.get(timeout=PATIENCE).put(503)
        with pytest.raises(TaskDeferred) as breached:
            task.execute_complete(context, first.event())

        first.begin(stored(breached.value))
        unheard = site.asked.get(timeout=PATIENCE)
        assert first.die() == -SIGKILL
        unheard.put(200)

        second.begin(stored(breached.value))
        site.asked.get(timeout=PATIENCE).put(503)
        event = second.event()
        with pytest.raises(AirflowFailException, match="checkout was 503 at the end of 2 measurements in a row"):
            task.execute_complete(context, event)
    (signal,) = pushed["rollback_cause"]["signals"]
    assert [reading["value"] for reading in signal["readings"]] == [503, 503]
    assert Watch.model_validate(event["watch"]).until == until(stored(breached.value)) == until(stored(begun.value))
