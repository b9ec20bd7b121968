"""What a command is given: its arguments, the store, connections, and where its results go."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rollback_provider.cli.interrupt import Interrupt
from rollback_provider.cli.progress import CommandProgress
from rollback_provider.connections import environment_connections
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.repository import Repository
from rollback_provider.store import SnapshotStore, open_store, store_from_connection

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 140
"""Columns of tables that go to a file or a pipe."""


@dataclass
class Session:
    """One run of one command."""

    arguments: argparse.Namespace
    interrupt: Interrupt
    progress: CommandProgress

    @cached_property
    def store(self) -> SnapshotStore:
        """The store that ``--store`` or ``$ROLLBACK_STORE`` names."""
        named = self.arguments.store or os.environ.get("ROLLBACK_STORE")
        if not named:
            raise ConfigurationError(
                "No store is given", state="Nothing was done", next_step="Pass --store URL, or set ROLLBACK_STORE"
            )
        return open_store(named) if "://" in named else store_from_connection(self.connections(named))

    @cached_property
    def repository(self) -> Repository:
        """The documents of the store."""
        return Repository(self.store)

    @cached_property
    def connections(self) -> ConnectionResolver:
        """``AIRFLOW_CONN_…`` variables, then Airflow."""
        return environment_connections(airflow=True)

    @cached_property
    def actor(self) -> str:
        """Who runs the command: ``user@host``."""
        return f"{getpass.getuser()}@{socket.gethostname()}"

    def emit(self, document: Any, *shown: RenderableType) -> None:
        """Prints the result: `document` with ``--json``, else what is there for people."""
        self.progress.close()
        if self.arguments.json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            return
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH, highlight=False)
        for each in shown:
            console.print(each, markup=False, soft_wrap=isinstance(each, str))
