"""Exit codes and errors: one line for people, one document for programs, and never a traceback for what can be expected."""

from __future__ import annotations

import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollback_provider.cli import exits
from rollback_provider.cli.arguments import COMMANDS, make_parser
from rollback_provider.components.memory import read_system, remove_system, write_row, write_system
from rollback_provider.core.errors import (
    BusyError,
    MigrationRunningError,
    PermissionDeniedError,
    RollbackError,
    StepFailedError,
)
from tests.cli.plugins import FailingComponent, SignallingComponent
from tests.fix_ctl import Ctl, Result


def assert_refused(result: Result, code: int, kind: str, words: str) -> None:
    """One line on standard error, one document on standard output."""
    assert result.code == code, result.err
    line = result.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert re.search(words, line)
    assert "Traceback" not in result.err
    assert result.json["error"] == {"type": kind, "message": line.removeprefix("error: ")}


def test_usage(ctl: Ctl) -> None:
    for words, expected in [
        (("list", "--json", "--colour"), "unrecognized arguments: --colour"),
        (("frobnicate", "--json"), "invalid choice: 'frobnicate'"),
        (("snapshot", "--json"), "--migration"),
        (("generate", "x", "--fill", "a.b", "--json"), "schema.table.column=expression"),
        (("generate", "x", "--conflicts", "ignore", "--json"), "invalid choice: 'ignore'"),
        (("prune", "--keep-within", "soon", "--json"), "36h, 30d or 8w"),
        (("prune", "--json"), "No retention rule"),
        (("prune", "--keep-last", "0", "--json"), "keeps nothing"),
    ]:
        assert_refused(ctl(*words), 2, "ConfigurationError", expected)


def test_no_store(ctl: Ctl) -> None:
    assert_refused(ctl("list", "--json", store=False), 2, "ConfigurationError", "--store URL, or set ROLLBACK_STORE")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("components: [", "line 1 is not YAML"),
        ("components:\n  - kind: memory\n   name: x", "line 3 is not YAML"),
        ("", "has no list under `components:`"),
        ("[]", "has no list under `components:`"),
        ("components: {kind: memory}", "has no list under `components:`"),
        ("components: []", "No components"),
        ("components: [memory]", "must be a mapping"),
        ("components: [{kind: memory}]", "name: Field required"),
        ("components: [{kind: oracle, name: x}]", "Unknown component kind 'oracle'"),
        ("components: [{kind: memory, name: x, colour: red}]", "takes exactly one option"),
        ("components: []\nstore: x", "unknown keys: store"),
        ("components: [!!python/object/apply:os.getcwd []]", "is not YAML"),
    ],
)
def test_a_malformed_specification(ctl: Ctl, text: str, words: str) -> None:
    path = ctl.directory / "spec.yaml"
    path.write_text(text)
    refused = ctl("snapshot", "--migration", "m", "--components", str(path), "--json")
    assert_refused(refused, 2, "ConfigurationError", words)


def test_a_specification_that_cannot_be_read(ctl: Ctl) -> None:
    path = ctl.directory / "spec.yaml"
    refused = ctl("snapshot", "--migration", "m", "--components", str(path), "--json")
    assert_refused(refused, 2, "ConfigurationError", "No such file")
    path.write_bytes(b"\xff\xfe\xfa")
    refused = ctl("snapshot", "--migration", "m", "--components", str(path), "--json")
    assert_refused(refused, 2, "ConfigurationError", "not UTF-8")


@pytest.mark.parametrize(
    "command", ["checkpoint", "generate", "execute", "verify", "show", "script", "abandon", "pin", "unpin"]
)
def test_not_found(ctl: Ctl, command: str) -> None:
    ctl.snapshot()
    assert_refused(ctl(command, "m-20260101T000000Z-0123456789ab", "--json"), 3, "NotFoundError", "There is no ")


def test_a_damaged_snapshot(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    (path,) = (path for path in ctl.directory.rglob(snapshot_id) if path.is_file())
    path.write_bytes(path.read_bytes().replace(b"release", b"RELEASE"))
    assert_refused(ctl("generate", snapshot_id, "--json"), 4, "IntegrityError", "Do not use this snapshot")


def test_a_store_that_cannot_be_opened(ctl: Ctl) -> None:
    (ctl.directory / "file").write_text("in the way")
    refused = ctl("list", "--store", (ctl.directory / "file" / "store").as_uri(), "--json", store=False)
    assert_refused(refused, 4, "StoreUnavailableError", "Check the store's URL")


def test_an_unreachable_component(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    state = read_system(ctl.system)
    remove_system(ctl.system)
    assert_refused(ctl("execute", rollback_id, "--json"), 5, "ComponentUnavailableError", "^error: shop: ")
    assert state


def test_drift(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    write_system(ctl.system, read_system(ctl.system) | {"invoices": {}})
    assert_refused(ctl("execute", rollback_id, "--json"), 7, "DriftError", "approved: rollbackctl generate")


def test_a_conflict(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    write_row(ctl.system, "orders", "1", {"total": "1000"})
    ctl("checkpoint", snapshot_id)
    write_row(ctl.system, "orders", "1", {"total": "11"})
    refused = ctl("generate", snapshot_id, "--conflicts", "fail", "--json")
    assert_refused(refused, 8, "ConflictError", "orders/1")


def test_what_cannot_be_reverted(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot("irreversible")
    assert_refused(ctl("generate", snapshot_id, "--json"), 8, "UnsupportedError", "public.t was truncated")


@pytest.fixture
def failure() -> Iterator[type[FailingComponent]]:
    """Set its `error`, and steps fail."""
    yield FailingComponent
    FailingComponent.error = None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BusyError("Lock timeout", component="shop"), 6),
        (MigrationRunningError("A session still migrates", component="shop"), 6),
        (PermissionDeniedError("No privilege", component="shop", next_step="GRANT UPDATE"), 5),
        (StepFailedError("Syntax error", component="shop"), 9),
    ],
)
def test_a_step_that_fails(ctl: Ctl, failure: type[FailingComponent], error: RollbackError, code: int) -> None:
    rollback_id = ctl.generated("failing")
    other = ctl("generate", ctl("list", "--json").json["snapshots"][0]["id"], "--json").json["rollback_id"]
    failure.error = error
    assert_refused(ctl("execute", rollback_id, "--json"), code, type(error).__name__, "^error: shop: ")
    record = ctl("show", rollback_id, "--json").json
    assert record["execution"]["status"] == "ready"
    assert record["execution"]["error"]
    failure.error = None
    assert_refused(ctl("execute", other, "--json"), 6, "LockedError", f"rollbackctl abandon {rollback_id}")
    assert ctl("execute", rollback_id).code == 0
    assert ctl.is_back()


def test_an_unexpected_error_shows_its_traceback(ctl: Ctl, failure: type[FailingComponent]) -> None:
    rollback_id = ctl.generated("failing")
    failure.error = KeyError("secret")
    result = ctl("execute", rollback_id, "--json")
    assert result.code == 1
    assert "Traceback" in result.err
    assert result.json["error"] == {"type": "KeyError", "message": "Unexpected KeyError"}


def test_a_verification_that_fails(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    assert_refused(ctl("verify", rollback_id, "--json"), 2, "ConfigurationError", "has not been executed")
    ctl("execute", rollback_id)
    ctl.migrate()
    result = ctl("verify", rollback_id, "--json")
    assert result.code == 10
    assert result.json["execution"]["status"] == "executed"
    assert result.json["execution"]["verification"]["status"] == "failed"
    shown = ctl("verify", rollback_id)
    assert shown.code == 10
    assert "orders/1 still holds" in shown.out


def test_a_bundle_of_what_cannot_be_exported(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    plan_kind = ctl.directory / "bundle"
    from rollback_provider.core import registry

    registry.BUILT_IN["memory"], original = "tests.cli.plugins:IrreversibleComponent", registry.BUILT_IN["memory"]
    try:
        refused = ctl("export", rollback_id, str(plan_kind), "--json")
    finally:
        registry.BUILT_IN["memory"] = original
    assert_refused(refused, 8, "UnsupportedError", "cannot be exported")
    assert not plan_kind.exists()


def test_a_report_that_cannot_be_written(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    refused = ctl("report", rollback_id, "-o", str(ctl.directory), "--json")
    assert_refused(refused, 2, "ConfigurationError", "cannot be written")
    assert stat.S_ISDIR(Path(ctl.directory).stat().st_mode)
    assert_refused(ctl("report", rollback_id, "--json"), 2, "ConfigurationError", "--json needs --output")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_what_runs(ctl: Ctl, number: signal.Signals, code: int) -> None:
    rollback_id = ctl.generated("signalling")
    before = signal.getsignal(number)
    SignallingComponent.signals.append(number)
    result = ctl("execute", rollback_id, "--json")
    assert_refused(result, code, "Interrupted", f"Interrupted by {number.name}. The journal holds what was done")
    assert signal.getsignal(number) is before
    steps = ctl("show", rollback_id, "--json").json["execution"]["steps"]
    assert [step["status"] for step in steps] == ["failed", "pending"]
    assert ctl("execute", rollback_id).code == 0
    assert ctl.is_back()


def test_a_step_that_cannot_be_cancelled_is_the_last(ctl: Ctl) -> None:
    rollback_id = ctl.generated("deaf")
    SignallingComponent.signals.append(signal.SIGTERM)
    assert_refused(ctl("execute", rollback_id, "--json"), 143, "Interrupted", "Interrupted by SIGTERM")
    steps = ctl("show", rollback_id, "--json").json["execution"]["steps"]
    assert [step["status"] for step in steps] == ["done", "pending"]
    assert ctl("execute", rollback_id).code == 0
    assert ctl.is_back()


def test_a_second_signal_ends_the_command_at_once(ctl: Ctl) -> None:
    rollback_id = ctl.generated("deaf")
    SignallingComponent.signals += [signal.SIGINT, signal.SIGINT]
    assert_refused(ctl("execute", rollback_id, "--json"), 130, "Interrupted", "Interrupted by SIGINT")
    SignallingComponent.signals.clear()
    steps = ctl("show", rollback_id, "--json").json["execution"]["steps"]
    assert [step["status"] for step in steps] == ["running", "pending"]
    assert ctl("execute", rollback_id).code == 0
    assert ctl.is_back()


def test_every_error_has_a_code_of_its_family() -> None:
    def tree(root: type[RollbackError]) -> Iterator[type[RollbackError]]:
        for kind in root.__subclasses__():
            if kind.__module__ == root.__module__:
                yield kind
                yield from tree(kind)

    codes = {kind: exits.exit_code(kind("x")) for kind in tree(RollbackError)}
    assert exits.UNEXPECTED not in codes.values()
    documented = {int(line.split()[0]) for line in exits.table().splitlines()[1:]}
    assert set(codes.values()) | {0, 1, 130, 143} == documented


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "7     drift" in text
    for command in COMMANDS:
        assert command.name in text
        assert command.help.split()[0] in text
