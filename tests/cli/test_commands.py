"""Each command does what it says, for people and for programs."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from rollback_provider.components.memory import read_system, write_row
from rollback_provider.core.record import schema
from tests.fix_ctl import Ctl


def test_the_main_job(ctl: Ctl) -> None:
    taken = ctl("snapshot", "--migration", "release 7", "--components", ctl.specification(), "--json")
    assert taken.code == 0
    snapshot_id = taken.json["snapshot_id"]
    ctl.migrate()
    checkpoint = ctl("checkpoint", snapshot_id, "--json")
    assert checkpoint.code == 0
    assert checkpoint.json["snapshot_id"] == snapshot_id
    write_row(ctl.system, "orders", "3", {"total": "30"})

    generated = ctl("generate", snapshot_id, "--json")
    assert generated.code == 0
    assert "migrated" in read_system(ctl.system)["orders"]["1"]
    rollback_id = generated.json["rollback_id"]

    executed = ctl("execute", rollback_id, "--json")
    assert executed.code == 0
    assert executed.json["execution"]["status"] == "executed"
    assert executed.json["actor"] == f"{getpass.getuser()}@{socket.gethostname()}"
    verified = ctl("verify", rollback_id, "--json")
    assert verified.code == 0
    assert verified.json["execution"]["status"] == "verified"
    Draft202012Validator(schema()).validate(verified.json)
    assert read_system(ctl.system)["orders"] == {"1": {"total": "10"}, "2": {"total": "20"}, "3": {"total": "30"}}
    assert ctl("execute", rollback_id, "--json").code == 0


def test_the_main_job_for_people(ctl: Ctl) -> None:
    taken = ctl("snapshot", "--migration", "release 7", "--components", ctl.specification())
    assert "shop" in taken.out
    assert "2 scopes" in taken.out
    snapshot_id = next(word for word in taken.out.split() if word.startswith("release-7-"))
    ctl.migrate()
    assert f"rollbackctl generate {snapshot_id}" in ctl("checkpoint", snapshot_id).out
    generated = ctl("generate", snapshot_id)
    assert "Restore orders" in generated.out
    rollback_id = next(word for word in generated.out.split() if word.startswith("rollback-release-7-"))
    executed = ctl("execute", rollback_id)
    assert f"rollbackctl verify {rollback_id}" in executed.out
    assert "shop: Restore orders" in executed.err, "progress goes to standard error"
    verified = ctl("verify", rollback_id)
    assert verified.code == 0
    assert "passed" in verified.out


def test_generate_takes_checkpoint_policy_and_fills(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    early = ctl("checkpoint", snapshot_id, "--json").json["checkpoint_id"]
    ctl.migrate()
    ctl("checkpoint", snapshot_id)
    options = ("--conflicts", "restore", "--ambiguous", "keep", "--fill", "a.b = 'x=y'", "--fill", "a.c=1")
    rollback_id = ctl("generate", snapshot_id, "--checkpoint", early, *options, "--json").json["rollback_id"]
    record = ctl("show", rollback_id, "--json").json
    assert record["checkpointId"] == early
    assert record["policy"] == {
        "conflicts": "restore",
        "ambiguous": "keep",
        "fill": {"a.b": "'x=y'", "a.c": "1"},
        "only": [],
        "leaveBehind": False,
        "downgrade": [],
        "part": "all",
        "rows": {},
    }


def test_a_rollback_is_undone(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    assert ctl("undo", rollback_id).code == 2
    assert f"rollbackctl undo {rollback_id}" in ctl("execute", rollback_id).out
    write_row(ctl.system, "orders", "3", {"total": "30"})
    made = ctl("undo", rollback_id, "--json")
    assert made.code == 0, made.err
    assert ctl.is_back() is False
    undoing = made.json["rollback_id"]
    assert "Restore orders" in ctl("undo", rollback_id).out
    assert ctl("execute", undoing, "--json").json["undoes"] == rollback_id
    assert ctl("verify", undoing).code == 0
    assert read_system(ctl.system)["orders"] == {
        "1": {"total": "10", "migrated": "yes"},
        "2": {"total": "20", "migrated": "yes"},
        "3": {"total": "30", "migrated": None},
    }
    assert ctl("show", rollback_id, "--json").json["undoneBy"] == undoing


def test_a_part_is_rolled_back(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    ctl.migrate()
    ctl("checkpoint", snapshot_id)
    rollback_id = ctl("generate", snapshot_id, "--only", "orders", "--json").json["rollback_id"]
    ctl("execute", rollback_id)
    verified = ctl("verify", rollback_id)
    assert verified.code == 0
    assert "A part rolled back and verified" in verified.out
    assert read_system(ctl.system)["orders"]["1"] == {"total": "10"}
    assert read_system(ctl.system)["items"]["1"] == {"sku": "a", "migrated": "yes"}
    for options in (("--only-data",), ("--only-schema",), ("--rows", "orders: total = 10")):
        refused = ctl("generate", snapshot_id, *options)
        assert refused.code == 8
        assert "as a whole" in refused.err
    assert ctl("generate", snapshot_id, "--rows", "orders").code == 2
    assert "exclude each other" in ctl("generate", snapshot_id, "--only-data", "--only-schema").err
    assert ctl("generate", snapshot_id, "--only", "nothing").code == 2


def test_list_tells_of_snapshots_and_rollbacks(ctl: Ctl) -> None:
    assert "no snapshot" in ctl("list").out
    rollback_id = ctl.generated()
    ctl("execute", rollback_id)
    listed = ctl("list", "--json").json
    (snapshot,) = listed["snapshots"]
    (rollback,) = listed["rollbacks"]
    assert (snapshot["migration"], snapshot["components"], snapshot["pinned"]) == ("release 7", ["shop"], False)
    assert (rollback["id"], rollback["status"], rollback["snapshot_id"]) == (rollback_id, "executed", snapshot["id"])
    assert (rollback["steps"], rollback["steps_done"]) == (2, 2)
    shown = ctl("list").out
    assert snapshot["id"] in shown
    assert rollback_id in shown


def test_a_damaged_document_does_not_hide_the_others(ctl: Ctl) -> None:
    damaged, intact = ctl.snapshot(), ctl.snapshot()
    (path,) = (path for path in ctl.directory.rglob(damaged) if path.is_file())
    path.write_bytes(path.read_bytes()[:-20])
    listed = ctl("list", "--json")
    assert listed.code == 4
    assert [line["id"] for line in listed.json["snapshots"]] == [intact]
    assert damaged in listed.json["unreadable"][0]
    assert f"unreadable: {listed.json['unreadable'][0]}" in ctl("list").out


def test_show_tells_of_a_snapshot(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    checkpoint_id = ctl("checkpoint", snapshot_id, "--json").json["checkpoint_id"]
    shown = ctl("show", snapshot_id, "--json").json
    assert shown["snapshot"]["id"] == snapshot_id
    assert [checkpoint["id"] for checkpoint in shown["checkpoints"]] == [checkpoint_id]
    text = ctl("show", snapshot_id).out
    assert "release 7" in text
    assert checkpoint_id in text


def test_show_tells_of_a_rollback(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    ctl("execute", rollback_id)
    ctl("verify", rollback_id)
    text = ctl("show", rollback_id).out
    for part in ("Plan", "Ledger", "Timeline", "Checks", "Restore orders", rollback_id):
        assert part in text


def test_script_prints_the_scripts(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    text = ctl("script", rollback_id).out
    assert text.startswith("-- database\n-- shop.001: Restore items\n")
    assert "write orders/1 {'total': '10'}" in text
    scripts = ctl("script", rollback_id, "--json").json
    assert set(scripts) == {"database", "application", "infrastructure"}


@pytest.mark.parametrize(("form", "beginning"), [("html", "<!doctype html>"), ("md", "# Rollback"), ("json", "{")])
def test_report_writes_each_format(ctl: Ctl, form: str, beginning: str) -> None:
    rollback_id = ctl.generated()
    path = ctl.directory / "report"
    written = ctl("report", rollback_id, "--format", form, "-o", str(path), "--json")
    assert written.code == 0
    assert written.json == {"file": str(path)}
    text = path.read_text()
    assert text.lower().startswith(beginning.lower())
    assert rollback_id in text
    assert ctl("report", rollback_id, "--format", form).out == text


def test_export_writes_a_bundle(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    bundle = ctl.directory / "bundle"
    exported = ctl("export", rollback_id, str(bundle), "--json")
    assert exported.code == 0
    files = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    assert files == exported.json["files"]
    assert files == ["runbook.md", *(f"shop/shop.00{step}.{form}" for step in (1, 2) for form in ("json", "txt"))]
    assert json.loads((bundle / "shop/shop.002.json").read_text())["changes"]["1"][1] == {"total": "10"}
    assert rollback_id in (bundle / "runbook.md").read_text()
    again = ctl("export", rollback_id, str(bundle))
    assert again.code == 2
    assert "is not empty" in again.err


def test_a_bundle_of_one_database_has_one_script_to_run(ctl: Ctl) -> None:
    rollback_id = ctl.generated("sql")
    bundle = ctl.directory / "bundle"
    ctl("export", rollback_id, str(bundle))
    assert (bundle / "rollback.sql").read_text() == "\\cd shop\n\\i rollback.sql\n"
    assert (bundle / "shop" / "rollback.sql").read_text() == "-- shop"


def test_a_bundle_of_several_databases_says_which_scripts_to_run(ctl: Ctl) -> None:
    path = ctl.directory / "two.yaml"
    entries = [
        f"{{kind: sql, name: a, system: {ctl.system}}}",
        f"{{kind: sql, name: b, system: {ctl.system}, after: [a]}}",
    ]
    path.write_text("components:\n" + "".join(f"  - {entry}\n" for entry in entries))
    taken = ctl("snapshot", "--migration", "m", "--components", str(path), "--json").json
    rollback_id = ctl("generate", taken["snapshot_id"], "--json").json["rollback_id"]
    ctl("export", rollback_id, str(ctl.directory / "bundle"))
    script = (ctl.directory / "bundle" / "rollback.sql").read_text()
    assert script.startswith("do $$begin raise exception")
    assert "in this order, with the connection of its own database: b, a'" in script


def test_abandon_gives_a_rollback_up(ctl: Ctl) -> None:
    rollback_id = ctl.generated()
    assert ctl("abandon", rollback_id, "--json").json["abandoned"] is True
    assert ctl("list", "--json").json["rollbacks"][0]["abandoned"] is True
    refused = ctl("execute", rollback_id)
    assert refused.code == 2
    assert "was abandoned" in refused.err
    assert not ctl.is_back()


def test_pins_keep_a_snapshot(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    assert ctl("pin", snapshot_id, "--reason", "audit", "--json").json == {"snapshot_id": snapshot_id, "pinned": True}
    assert ctl("list", "--json").json["snapshots"][0]["pinned"] is True
    assert ctl("unpin", snapshot_id, "--json").json == {"snapshot_id": snapshot_id, "pinned": False}
    assert ctl("list", "--json").json["snapshots"][0]["pinned"] is False


def test_prune_says_what_it_keeps_and_why(ctl: Ctl) -> None:
    snapshot_id = ctl.snapshot()
    pruned = ctl("prune", "--keep-last", "1", "--keep-within", "30d", "--dry-run", "--json")
    assert pruned.code == 0
    assert pruned.json["dryRun"] is True
    assert [kept["id"] for kept in pruned.json["kept"]] == [snapshot_id]
    text = ctl("prune", "--keep-last", "1").out
    assert "among the last 1" in text
    assert "0 snapshots" in text


def test_the_store_may_come_from_the_environment(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBACK_STORE", ctl.store)
    snapshot_id = ctl.snapshot()
    assert ctl("list", "--json", store=False).json["snapshots"][0]["id"] == snapshot_id


def test_the_store_may_be_a_connection(ctl: Ctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot_id = ctl.snapshot()
    monkeypatch.setenv(
        "AIRFLOW_CONN_NIGHT_STORE", json.dumps({"conn_type": "rollback_store", "host": (tmp_path / "store").as_uri()})
    )
    listed = ctl("list", "--store", "night_store", "--json", store=False)
    assert listed.json["snapshots"][0]["id"] == snapshot_id
