"""The package against pg_dump and pg_restore, side by side on one server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import large_table
from benchmarks.measure import Measured, directory_bytes, run_command, run_job
from benchmarks.writer import Writer
from rollback_provider.components.postgres.embedded import Server

DATABASE = "benchmark"


@dataclass(frozen=True)
class Writes:
    """What the application saw meanwhile.

    :param gap: longest time without a successful write, in seconds
    """

    count: int
    errors: int
    p99: float
    worst: float
    gap: float


@dataclass(frozen=True)
class Comparison:
    """Everything measured at one size.

    :param second: a second snapshot, after one row in a thousand has changed; from it everything else goes on
    :param before: the application with nothing else going on
    :param during: the application while the rollback was planned, executed and verified
    :param restore_during: the application while pg_restore ran
    """

    rows: int
    heap: int
    snapshot: Measured
    snapshot_size: int
    second: Measured
    dump: Measured
    dump_size: int
    checkpoint: Measured
    generate: Measured
    execute: Measured
    verify: Measured
    restore: Measured
    before: Writes
    during: Writes
    restore_during: Writes


def compare(server: Server, work: Path, rows: int, say: Callable[[str], None]) -> Comparison:
    """Measures every operation once on a table of `rows` rows; `say` is told what is going on."""
    store, dump = work / "store", work / "dump"
    for directory in (store, dump):
        shutil.rmtree(directory, ignore_errors=True)
    url = f"file://{store}"
    dsn = server.dsn(DATABASE)

    def job(name: str, argument: str) -> Measured:
        say(name)
        return run_job(name, url, server.socket, argument)

    say(f"making {rows:,} rows")
    large_table.create(server, DATABASE, rows)
    heap = large_table.heap_bytes(server, DATABASE)
    say("pg_dump")
    pg_dump = run_command([server.programs / "pg_dump", "-Fd", "-j2", "-Z1", "-f", str(dump), server.url(DATABASE)])
    dump_size = directory_bytes(dump)
    snapshot = job("snapshot", DATABASE)
    snapshot_size = directory_bytes(store)
    large_table.write_a_little(server, DATABASE)
    second = job("snapshot", DATABASE)
    say("migrating")
    large_table.migrate(server, DATABASE)
    checkpoint = job("checkpoint", second.made)
    large_table.warm_up(server, DATABASE)
    with Writer(dsn, rows) as writer:
        say("the application alone")
        run_command(["sleep", "5"])
    before = _writes(writer)
    with Writer(dsn, rows) as writer:
        generate = job("generate", second.made)
        execute = job("execute", generate.made)
        verify = job("verify", generate.made)
    during = _writes(writer)
    if verify.made != "verified":
        raise RuntimeError(f"The rollback's status is {verify.made!r}, so its time means nothing")
    large_table.migrate(server, DATABASE)
    large_table.warm_up(server, DATABASE)
    with Writer(dsn, rows) as writer:
        say("pg_restore")
        restore = run_command(
            [server.programs / "pg_restore", "--clean", "--if-exists", "-j2", "-d", server.url(DATABASE), str(dump)]
        )
    restore_during = _writes(writer)
    server.drop(DATABASE)
    shutil.rmtree(dump)
    shutil.rmtree(store)
    return Comparison(
        rows=rows,
        heap=heap,
        snapshot=snapshot,
        snapshot_size=snapshot_size,
        second=second,
        dump=pg_dump,
        dump_size=dump_size,
        checkpoint=checkpoint,
        generate=generate,
        execute=execute,
        verify=verify,
        restore=restore,
        before=before,
        during=during,
        restore_during=restore_during,
    )


def _writes(writer: Writer) -> Writes:
    return Writes(
        len(writer.milliseconds),
        writer.errors,
        round(writer.p99, 2),
        round(writer.worst, 2),
        round(writer.longest_gap, 3),
    )
