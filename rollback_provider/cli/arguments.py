"""The commands and their arguments: one definition, from which both ``rollbackctl`` and ``airflow rollback`` are made."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from rollback_provider import __version__
from rollback_provider.cli import exits
from rollback_provider.core.errors import ConfigurationError

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta:
    """``36h``, ``30d``, ``8w`` as a length of time."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time such as 36h, 30d or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def assignment(text: str) -> tuple[str, str]:
    """``public.orders.region='EU'`` as a column and an expression."""
    column, equals, expression = text.partition("=")
    if not (equals and column.strip() and expression.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form schema.table.column=expression")
    return column.strip(), expression.strip()


def row_choice(text: str) -> tuple[str, str]:
    """``public.orders: id between 5 and 9`` as a table and a predicate."""
    table, colon, predicate = text.partition(":")
    if not (colon and table.strip() and predicate.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form schema.table: predicate")
    return table.strip(), predicate.strip()


@dataclass(frozen=True)
class Argument:
    """One argument, as ``argparse`` takes it."""

    flags: tuple[str, ...]
    options: Mapping[str, Any]


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


STORE = _argument(
    "--store",
    metavar="STORE",
    help="URL of the store (file:///path, s3://bucket/prefix) or id of a connection that holds it; default: $ROLLBACK_STORE",
)
JSON = _argument("--json", action="store_true", help="Print one JSON document, and nothing else, on standard output")
SNAPSHOT = _argument("snapshot_id", metavar="SNAPSHOT_ID", help="Id of a snapshot")
ROLLBACK = _argument("rollback_id", metavar="ROLLBACK_ID", help="Id of a rollback")


@dataclass(frozen=True)
class Command:
    """One command.

    :param function: ``module:function`` below :mod:`rollback_provider.cli.commands`; imported when the command is run
    """

    name: str
    help: str
    function: str
    arguments: tuple[Argument, ...]


def _command(name: str, function: str, help_text: str, *arguments: Argument) -> Command:
    return Command(name, help_text, function, (*arguments, STORE, JSON))


CONFLICTS = _argument(
    "--conflicts",
    choices=("keep", "restore", "fail"),
    default="keep",
    help="Values that both the migration and an application changed: keep the application's (default), restore the "
    "snapshot's, or fail",
)
FILL = _argument(
    "--fill",
    metavar="TABLE.COLUMN=EXPRESSION",
    type=assignment,
    action="append",
    default=[],
    help="Value of a restored column for rows written since; may be repeated",
)

KEY = _argument(
    "--key", metavar="CONNECTION", help="Connection that holds the key to sign the certificate with, or to check it by"
)

COMMANDS = (
    _command(
        "snapshot",
        "steps:snapshot",
        "Take a snapshot before a migration",
        _argument("--migration", metavar="NAME", required=True, help="Name of the migration"),
        _argument(
            "--components", metavar="FILE", required=True, help="YAML file that lists the components, and the checks"
        ),
    ),
    _command(
        "track",
        "steps:track",
        "Log what a migration writes that commits as it goes, while applications write",
        SNAPSHOT,
        _argument(
            "--whole",
            metavar="TABLE",
            action="append",
            default=[],
            help="Log writes of all sessions to this table, because the migration drops it or columns of it; may be repeated",
        ),
    ),
    _command(
        "checkpoint", "steps:checkpoint", "Record what the migration changed, before applications write", SNAPSHOT
    ),
    _command("check", "steps:check", "Run the checks declared for the migration, and say whether it is good", SNAPSHOT),
    _command(
        "generate",
        "steps:generate",
        "Plan the way back to a snapshot; changes nothing",
        SNAPSHOT,
        _argument("--checkpoint", metavar="ID", help="Which checkpoint to use; default: the newest"),
        CONFLICTS,
        _argument(
            "--only",
            metavar="NAME",
            action="append",
            default=[],
            help="Only this component, or this table, view, type or function (schema.name); may be repeated",
        ),
        _argument(
            "--leave-behind",
            action="store_true",
            help="With --only: components that were migrated after a chosen one, and may rely on it, may stay as they are",
        ),
        _argument(
            "--downgrade",
            metavar="COMPONENT",
            action="append",
            default=[],
            help="Let this component's own migration tool go down first; may be repeated",
        ),
        _argument(
            "--only-schema",
            action="store_true",
            help="Leave what the migration did to rows as it is",
        ),
        _argument(
            "--only-data",
            action="store_true",
            help="Leave what the migration did to the schema as it is",
        ),
        _argument(
            "--rows",
            metavar="TABLE:PREDICATE",
            type=row_choice,
            action="append",
            default=[],
            help="Of this table only the data of rows that an SQL predicate over the snapshot's columns chooses; may be repeated",
        ),
        _argument(
            "--ambiguous",
            choices=("restore", "keep", "fail"),
            default="restore",
            help="Changes that no checkpoint attributes: restore the snapshot's state (default), keep them, or fail",
        ),
        FILL,
    ),
    _command("execute", "steps:execute", "Execute a rollback, or continue one that was cut short", ROLLBACK),
    _command("verify", "steps:verify", "Measure whether a rollback is complete", ROLLBACK),
    _command(
        "undo",
        "steps:undo",
        "Plan to undo a rollback: bring back the state before it; changes nothing",
        ROLLBACK,
        CONFLICTS,
        FILL,
    ),
    _command("abandon", "steps:abandon", "Give an unfinished rollback up and free its components", ROLLBACK),
    _command(
        "accept",
        "acceptance:accept",
        "Accept a migration: what it has soft-dropped is dropped for good",
        _argument(
            "snapshot_id", metavar="SNAPSHOT_ID", nargs="?", help="Id of the snapshot taken before the migration"
        ),
        _argument(
            "--older-than",
            metavar="TIME",
            type=span,
            help="Instead: accept every migration that has soft-dropped anything longer ago than this: 36h, 14d, 8w",
        ),
        _argument("--dry-run", action="store_true", help="Only say what would be dropped for good"),
    ),
    _command(
        "dropped",
        "acceptance:dropped",
        "List what is soft-dropped, with age and size",
        _argument(
            "--components",
            metavar="FILE",
            help="YAML file that lists the components; default: every system that a snapshot in the store is of",
        ),
    ),
    _command(
        "rehearse",
        "rehearsal:rehearse",
        "Rehearse a migration and its rollback on copies of a snapshot; the original is not reached",
        SNAPSHOT,
        _argument("--sql", metavar="FILE", action="append", default=[], help="File of the migration; may be repeated"),
        _argument("--function", metavar="MODULE:FUNCTION", help="In its place: a function that gets a connection"),
        _argument("--alembic", metavar="FILE", help="In its place: an alembic.ini; needs --quiet"),
        _argument("--revision", default="head", help="Where Alembic upgrades to; default: head"),
        _argument(
            "--alter",
            metavar="TABLE",
            action="append",
            default=[],
            help="Table whose definition the migration changes: everybody waits for it; may be repeated",
        ),
        _argument(
            "--lock",
            metavar="TABLE",
            action="append",
            default=[],
            help="Table of which the migration changes only rows: its writers wait; may be repeated",
        ),
        _argument(
            "--quiet", action="store_true", help="Nobody writes while the migration runs, and it commits by itself"
        ),
        _argument(
            "--scratch",
            metavar="CONNECTION",
            help="Connection to a server for the copies, which names the database that is made and dropped; default: a "
            "server is started here",
        ),
        _argument("--size", choices=("full", "sampled", "schema"), default="full", help="Of the copies; default: full"),
        _argument("--sample", metavar="N", type=int, default=1000, help="Rows of each table, with --size sampled"),
        _argument("--component", metavar="NAME", help="Which one of the snapshot's, where several can be rehearsed"),
        _argument(
            "--drill",
            metavar="NAME",
            action="append",
            default=[],
            help="Fault to inject, in a trial of its own; may be repeated; all: every one",
        ),
        _argument("--runs", metavar="N", type=int, default=1, help="How often it runs undisturbed, for the figures"),
        _argument(
            "--share",
            metavar="SHARE",
            type=float,
            action="append",
            default=[],
            help="Also run on a copy with this share of each table's rows, such as 0.1; two of them give an estimate for all",
        ),
        _argument("--seed", metavar="N", type=int, default=1, help="Of what the writer writes"),
        CONFLICTS,
        FILL,
        _argument(
            "--certify", metavar="TIME", type=span, help="Issue a certificate that is valid so long: 36h, 14d, 8w"
        ),
        KEY,
    ),
    _command(
        "certificate",
        "rehearsal:certificate",
        "Show a certificate, and check whether it is valid",
        _argument("certificate_id", metavar="CERTIFICATE_ID", help="Id of a certificate"),
        _argument(
            "--snapshot",
            metavar="SNAPSHOT_ID",
            help="A snapshot just taken: the certificate must be of its database and its schema",
        ),
        KEY,
    ),
    _command("list", "views:list_all", "List snapshots, rollbacks and certificates"),
    _command(
        "show",
        "views:show",
        "Show a snapshot, or a rollback with plan, ledger, timeline and checks",
        _argument("id", metavar="ID", help="Id of a snapshot or a rollback"),
    ),
    _command("script", "views:script", "Print a rollback's scripts", ROLLBACK),
    _command(
        "report",
        "files:report",
        "Write the report of a rollback or a rehearsal",
        _argument("id", metavar="ID", help="Id of a rollback or a rehearsal"),
        _argument("--format", choices=("html", "md", "json"), default="md", help="Default: md"),
        _argument("--output", "-o", metavar="FILE", help="Where to; default: standard output"),
    ),
    _command(
        "export",
        "files:export",
        "Write a bundle that restores without this package: scripts, data, runbook",
        ROLLBACK,
        _argument("directory", metavar="DIR", help="A directory that is empty or does not exist"),
    ),
    _command(
        "prune",
        "retention:prune",
        "Remove snapshots that no rule keeps",
        _argument("--keep-last", metavar="N", type=int, help="Keep this many of the newest of each migration"),
        _argument("--keep-within", metavar="TIME", type=span, help="Keep what is younger: 36h, 30d, 8w"),
        _argument("--keep-daily", metavar="N", type=int, help="Keep one a day, for this many days"),
        _argument("--keep-weekly", metavar="N", type=int, help="Keep one a week, for this many weeks"),
        _argument("--dry-run", action="store_true", help="Only say what would be removed"),
    ),
    _command(
        "pin",
        "retention:pin",
        "Keep a snapshot whatever the rules say",
        SNAPSHOT,
        _argument("--reason", default="", help="Why"),
    ),
    _command("unpin", "retention:unpin", "Remove a pin", SNAPSHOT),
)


class Parser(argparse.ArgumentParser):
    """Raises ConfigurationError where the arguments make no sense."""

    def error(self, message: str) -> NoReturn:
        """The arguments make no sense."""
        raise ConfigurationError(message, state="Nothing was done", next_step=f"See {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """The parser of ``rollbackctl``. Parsed arguments hold the command's name as ``command``."""
    parser = Parser(
        prog="rollbackctl",
        description="Take migrations back safely: snapshot, generate, execute, verify.",
        epilog=exits.table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rollbackctl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        child = commands.add_parser(command.name, help=command.help, description=f"{command.help}.")
        for argument in command.arguments:
            child.add_argument(*argument.flags, **argument.options)
    return parser
