"""``airflow rollback …``, parsed by Airflow's own command line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from airflow.cli.cli_config import DefaultHelpParser
from airflow.cli.cli_parser import _add_command

from rollback_provider.cli.airflow import get_commands
from rollback_provider.cli.arguments import COMMANDS


def airflow(*words: str) -> argparse.Namespace:
    """Parses words as ``airflow`` does."""
    parser = DefaultHelpParser(prog="airflow")
    subparsers = parser.add_subparsers(dest="subcommand", required=True)
    for command in get_commands():
        _add_command(subparsers, command)
    return parser.parse_args(words)


def test_every_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        airflow("rollback", "--help")
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in shown


def test_a_command_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = airflow("rollback", "list", "--store", (tmp_path / "store").as_uri(), "--json")
    with pytest.raises(SystemExit) as ended:
        arguments.func(arguments)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["snapshots"] == []


def test_a_command_that_fails_has_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = airflow("rollback", "generate", "m-1", "--fill", "a.b=1", "--store", (tmp_path / "store").as_uri())
    assert arguments.fill == [("a.b", "1")]
    with pytest.raises(SystemExit) as ended:
        arguments.func(arguments)
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("error: There is no snapshot 'm-1'")
