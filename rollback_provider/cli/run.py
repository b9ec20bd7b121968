"""Runs a command: finds it, and turns what becomes of it into output and an exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module

from rollback_provider.cli import exits
from rollback_provider.cli.arguments import COMMANDS, make_parser
from rollback_provider.cli.interrupt import Interrupt, InterruptedBySignal
from rollback_provider.cli.progress import CommandProgress
from rollback_provider.cli.session import Session
from rollback_provider.core.errors import RollbackError


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script ``rollbackctl``; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parsed = make_parser().parse_args(words)
    except RollbackError as error:
        return _fail(error, exits.exit_code(error), as_json="--json" in words)
    return run(parsed.command, parsed)


def run(name: str, arguments: argparse.Namespace) -> int:
    """Runs the command of this name and returns the exit code."""
    command = next(command for command in COMMANDS if command.name == name)
    interrupt = Interrupt()
    try:
        with interrupt, closing(CommandProgress(interrupt.check)) as progress:
            code = _function(command.function)(Session(arguments, interrupt, progress))
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the interpreter flushes once more on its way out
        return exits.UNEXPECTED
    except (Exception, InterruptedBySignal) as error:  # noqa: BLE001  # the outermost handler there is
        if interrupt.signal:
            return _fail(_interrupted(name, interrupt), exits.SIGNAL + interrupt.signal, as_json=arguments.json)
        if not isinstance(error, RollbackError):
            traceback.print_exc()
        return _fail(error, exits.exit_code(error), as_json=arguments.json)


def _function(path: str) -> Callable[[Session], int]:
    module, _, name = path.partition(":")
    function: Callable[[Session], int] = getattr(import_module(f"rollback_provider.cli.commands.{module}"), name)
    return function


def _interrupted(name: str, interrupt: Interrupt) -> RollbackError:
    what = f"Interrupted by {interrupt.signal.name}" if interrupt.signal else "Interrupted"
    if name == "execute":
        return RollbackError(
            what, state="The journal holds what was done", next_step="The same command continues where it stopped"
        )
    if name == "accept":
        return RollbackError(
            what, state="What was dropped for good is gone, the rest is there", next_step="The same command continues"
        )
    return RollbackError(what, state="Nothing was changed in any system", next_step="Run the same command again")


def _fail(error: BaseException, code: int, *, as_json: bool) -> int:
    text = " ".join(str(error).split()) if isinstance(error, RollbackError) else f"Unexpected {type(error).__name__}"
    print(f"error: {text}", file=sys.stderr, flush=True)  # noqa: T201  # the command line's own output
    if as_json:
        kind = "Interrupted" if code > exits.SIGNAL else type(error).__name__
        print(json.dumps({"error": {"type": kind, "message": text}}, ensure_ascii=False), flush=True)  # noqa: T201
    return code
