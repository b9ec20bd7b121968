"""Rows as lines of COPY text."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rollback_provider.components.postgres import lines as streams
from rollback_provider.components.postgres.lines import join
from rollback_provider.components.postgres.rows import checksum, key_of, text
from tests.fix_postgres import Database

NASTY = ["", "\\", "\\N", "a\tb", "line\nbreak", "\r", "\b\f\v", "é漢字😀", "\\t", "x\\", "NULL"]


def test_text_is_what_was_written(database: Database) -> None:
    """The server's own COPY is the judge."""
    database.run("create table t (id int, v text)")
    with database.connect() as connection:
        connection.cursor().executemany("insert into t values (%s, %s)", list(enumerate([*NASTY, None])))
        with connection.cursor().copy("copy (select id, v from t order by id) to stdout") as copy:
            fields = [bytes(row)[:-1].split(b"\t", 1)[1] for row in copy]
    assert [text(field) for field in fields] == [*NASTY, None]


@pytest.mark.parametrize(
    ("line", "width", "key"), [(b"1\tx\ty", 1, b"1"), (b"1\tx\ty", 2, b"1\tx"), (b"1", 1, b"1"), (b"1\t2", 2, b"1\t2")]
)
def test_key(line: bytes, width: int, key: bytes) -> None:
    """The first fields."""
    assert key_of(line, width) == key


def test_checksum_knows_rows_not_their_order() -> None:
    """Order does not count; duplicates and every byte do."""
    lines = [b"1\ta", b"2\tb", b"3\tc"]
    assert checksum(lines) == checksum(lines[::-1])
    assert checksum(lines) == (checksum(lines[:1]) + checksum(lines[1:])) % 2**128
    assert checksum(lines) != checksum([*lines, lines[0]])
    assert checksum([*lines, lines[0], lines[0]]) != checksum(lines)
    assert checksum([b"1\ta", b"2\tb", b"3\td"]) != checksum(lines)


@pytest.mark.parametrize("partitioned", [False, True])
@pytest.mark.parametrize("outer", [False, True])
def test_join(monkeypatch: pytest.MonkeyPatch, partitioned: bool, outer: bool) -> None:
    """In memory and on disk alike: every left row once, and with `outer` every right one."""
    monkeypatch.setattr(streams, "IN_MEMORY", 100 if partitioned else 10_000)
    chance = random.Random(7)
    left = {b"%d" % n: b"%d\tleft" % n for n in chance.sample(range(2000), 1000)}
    right = {b"%d" % n: b"%d\tright" % n for n in chance.sample(range(2000), 1000)}

    def batches(rows: dict[bytes, bytes]) -> Callable[[], list[list[bytes]]]:
        lines = list(rows.values())
        return lambda: [lines[i : i + 64] for i in range(0, len(lines), 64)]

    found = list(join(batches(left)(), len(left), batches(right)(), 1, outer=outer))
    keys = left.keys() | right.keys() if outer else left.keys()
    assert sorted(found, key=lambda row: row[0]) == sorted((key, left.get(key), right.get(key)) for key in keys)
