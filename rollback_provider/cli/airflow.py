"""``airflow rollback …``: the same commands, for the provider's ``cli`` key."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from rollback_provider.cli import exits
from rollback_provider.cli.arguments import COMMANDS

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_commands() -> list[CLICommand]:
    """The group ``rollback``, as Airflow's command line wants it."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    return [
        GroupCommand(
            name="rollback",
            help="Take migrations back safely",
            description="Take migrations back safely: snapshot, generate, execute, verify.",
            epilog=exits.table(),
            subcommands=tuple(
                ActionCommand(
                    name=command.name,
                    help=command.help,
                    func=partial(_run, command.name),
                    args=tuple(
                        Arg(flags=argument.flags, **argument.options)  # type: ignore[no-untyped-call]
                        for argument in command.arguments
                    ),
                )
                for command in COMMANDS
            ),
        )
    ]


def _run(name: str, arguments: argparse.Namespace) -> None:
    from rollback_provider.cli.run import run

    sys.exit(run(name, arguments))
