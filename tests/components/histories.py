"""Random histories of a database: a schema, a migration and an application; and a judge that knows nothing of the engine.

A history is made from its seed. Each of its parts has a label and random numbers of its own, so that parts can be left out (`skip`) without
changing the others: that is how a failing history is cut down. What ran is kept as a script in `log`.
"""

# ruff: noqa: C901, PLR0911, PLR0912, PLR0915  the generator is a list of cases, read best in one place each
from __future__ import annotations

import ast
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

import psycopg
import pytest

from rollback_provider.components.postgres import copier, steps, taking, trace
from rollback_provider.components.postgres.verifying import comparing
from rollback_provider.core.base import Json
from rollback_provider.core.document import Record
from rollback_provider.core.errors import (
    BusyError,
    ComponentUnavailableError,
    ConfigurationError,
    ConflictError,
    DriftError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.core.repository import Store
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.core.verifier import verify
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress

Key = tuple[str | None, ...]
Row = dict[str, str | None]
Image = dict[Key, Row]

USER_SCHEMAS = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"


def quoted(*names: str) -> str:
    """A name as SQL."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


@dataclass
class Column:
    """A column as it is now."""

    name: str
    type: str
    notnull: bool
    default: bool
    generated: str
    identity: str
    parent: str | None
    parent_column: str | None


@dataclass
class Lineage:
    """A table of the snapshot, and what has become of it by what the migration's statements say."""

    schema: str
    name: str
    columns: list[str]
    types: dict[str, str]
    key: list[str]
    generated: set[str]
    now: tuple[str, str] | None = None
    names: dict[str, str | None] = field(default_factory=dict)

    @property
    def scope(self) -> str:
        """As the ledger names it."""
        return f"{self.schema}.{self.name}"


@dataclass
class Written:
    """What applications have done to one row."""

    values: Row = field(default_factory=dict)
    inserted: bool = False
    deleted: bool = False


@dataclass
class Verdict:
    """What became of a history.

    :param outcome: ``back``, ``refused`` or ``wrong``
    :param problems: what is wrong, in words
    """

    outcome: str
    reason: str = ""
    problems: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


class StepProgress(RecordedProgress):
    """Calls back before each step of a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.before_step: Callable[[str], None] | None = None

    def message(self, text: str) -> None:
        """Keeps one message."""
        super().message(text)
        if self.before_step:
            self.before_step(text)


TYPES = {
    "integer": 6, "bigint": 2, "smallint": 1, "text": 6, "character varying(20)": 3, "character(6)": 1, "numeric(10,2)": 2, "numeric": 1,
    "boolean": 2, "date": 1, "timestamp with time zone": 1, "double precision": 1, "jsonb": 1, "json": 1, "uuid": 1, "bytea": 1,
    "integer[]": 1, "text[]": 1, "interval": 1, "mood": 2, "small": 1, "real": 1,
}  # fmt: skip
NAMES = ["name", "city", "amount", "note", "flag", "at", "data", "qty", "code", "Mixed Case", "order", "ref", "tag"]
TABLES = ["customers", "orders", "items", "Order Notes", "log", "user"]
CONVERSIONS = [
    ("integer", "bigint", ""), ("integer", "smallint", "using ({c} % 30000)::smallint"), ("integer", "text", ""),
    ("integer", "numeric(12,2)", ""), ("bigint", "integer", "using ({c} % 2000000)::integer"), ("text", "character varying(30)", "using left({c}, 30)"),
    ("text", "character varying(3)", "using left({c}, 3)"), ("text", "integer", "using length({c})"), ("character varying(20)", "text", ""),
    ("character varying(20)", "character varying(40)", ""), ("character varying(20)", "character varying(12)", "using left({c}, 12)"),
    ("numeric(10,2)", "numeric(14,4)", ""), ("numeric(10,2)", "integer", "using {c}::integer"), ("numeric", "numeric(8,1)", "using ({c} % 100000)::numeric(8,1)"),
    ("boolean", "text", ""), ("boolean", "integer", "using {c}::int"), ("date", "timestamp with time zone", ""), ("date", "text", ""),
    ("timestamp with time zone", "date", ""), ("timestamp with time zone", "timestamp without time zone", ""), ("double precision", "real", "using ({c}::numeric % 1000)::real"),
    ("jsonb", "text", ""), ("jsonb", "json", ""), ("json", "jsonb", ""), ("uuid", "text", ""), ("bytea", "text", "using encode({c}, 'hex')"),
    ("integer[]", "bigint[]", ""), ("text[]", "text", "using array_to_string({c}, ',')"), ("interval", "text", ""),
    ("mood", "text", ""), ("small", "integer", ""), ("real", "double precision", ""), ("character(6)", "text", ""), ("smallint", "integer", ""),
    ("text", "jsonb", "using to_jsonb({c})"), ("character varying(20)", "character varying(20)[]", "using array[{c}]"),
]  # fmt: skip


class History:
    """One history, from its seed.

    :cvar meanwhile: applications write while an observed migration runs
    """

    meanwhile: ClassVar[bool] = True

    def __init__(self, seed: int, database: Database, store: Store, skip: frozenset[str] = frozenset()) -> None:
        self.seed, self.database, self.store, self.skip = seed, database, store, skip
        self.labels: list[str] = []
        self.log: list[str] = []
        self.rng = random.Random(f"{seed}")
        self.observed = self.rng.random() < 0.5
        self.small_steps = self.rng.random() < 0.5
        self.large = seed % 2 == 1
        """Tables count as large: verified by place, scanned on two sessions."""
        self.kills = self.rng.random() < 0.12
        self.policy = "restore" if self.rng.random() < 0.25 else "keep"
        self.whole = self.rng.random() < 0.5
        self.lineages: list[Lineage] = []
        self.token = 1000
        self.written: dict[tuple[str, Key], Written] = {}
        self.extra: dict[tuple[str, Key, str], str] = {}
        self.base: dict[str, Image] = {}
        self.keyless: dict[str, Counter[tuple[tuple[str, str | None], ...]]] = {}
        self.relabelled: dict[str, str] = {}
        self.late = False
        self.verdict = Verdict("back")
        self.progress = StepProgress()
        self.scenario = Scenario(database, store, progress=self.progress)

    # Running ---------------------------------------------------------------------------------------------------------------

    def run(self) -> Verdict:
        """Runs the history and judges it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(taking, "MOST_CHANGED", 1.0)
            if self.large:
                patch.setattr(comparing, "READ_WHOLE", -1)
                patch.setattr(trace, "RANGE_PAGES", 1)
                for module in (copier, trace):
                    patch.setattr(module, "WORTH_SESSION", 1)
            if self.small_steps:
                patch.setattr(steps, "ONE_TRANSACTION_ROWS", 0)
                patch.setattr(steps, "BATCH_ROWS", self.rng.choice([1, 3, 7]))
            try:
                self._run()
            except _Done:
                pass
            except DriftError as error:
                if "has no key to tell their rows by" not in str(error):
                    raise
                self.verdict.outcome, self.verdict.reason = "refused", str(error)
            except StepFailedError as error:
                if "The migration was rolled back" in str(error) and "violates" in str(error):
                    self.verdict.outcome, self.verdict.reason = "refused", str(error)
                else:
                    self._problem(f"StepFailedError: {error}")
            except psycopg.errors.IntegrityError as error:
                self.verdict.outcome, self.verdict.reason = (
                    "refused",
                    f"the server refused the migration's commit: {error.sqlstate}",
                )
            except (UnsupportedError, ConflictError) as error:
                self.verdict.outcome, self.verdict.reason = "refused", str(error)
            except Exception as error:  # noqa: BLE001  each is a finding
                notes = "; ".join(getattr(error, "__notes__", ()) or getattr(error.__cause__, "__notes__", ()))
                self._problem(f"{type(error).__name__}: {error} {notes}")
        if self.verdict.problems:
            self.verdict.outcome = "wrong"
        return self.verdict

    def _run(self) -> None:
        self._say(
            f"-- seed {self.seed}: {'observed' if self.observed else 'quiet'}, {'steps' if self.small_steps else 'one'}, {'large' if self.large else 'small'}, {self.policy}"
        )
        with self.database.connect() as connection:
            self._setup(connection)
            if self._rng("earlier").random() < 0.5:
                self._earlier(connection)
            self._learn(connection)
        before = schema_text(self.database)
        self.scenario.begin("select 1")
        self._say("-- snapshot")
        if self.observed:
            self._application("before", 2)
            self._observed()
        else:
            self._say("-- migration")
            self.base = self._images()
            with self.database.connect() as connection:
                if self.whole:
                    with connection.transaction():
                        self._migration(connection)
                else:
                    self._migration(connection)
            self.scenario.migrate("select 1")
        self.migrated = self._images()
        self.moved = {lin.scope: (lin.now, dict(lin.names)) for lin in self.lineages}
        self._say("-- checkpoint")
        self._application("after", 5)
        self._say("-- generate")
        self.scenario.generate(conflicts=self.policy)
        self._application("late", 2)
        self._say("-- execute")
        self._execute()
        self._judge(before)

    def _earlier(self, connection: psycopg.Connection) -> None:
        """Takes another snapshot, on which the one that counts will build, and lets applications write."""
        self.scenario.begin("select 1")
        self._say("-- earlier snapshot")
        for i in range(4):
            own = self._rng(f"earlier write {i}")
            tables = self._free_tables(connection)
            if tables and self._wanted(f"earlier write {i}"):
                self._try(connection, self._write(connection, own, quoted(*own.choice(tables))) or "select 1")

    def _observed(self) -> None:
        during = self.meanwhile
        tables: list[str] = []
        for _ in range(4):
            for lineage in self.lineages:
                lineage.now, lineage.names = (lineage.schema, lineage.name), {c: c for c in lineage.columns}
            try:
                with self.scenario.observed(lock=tables) as connection:  # not `alter`: the judge reads meanwhile
                    self._say("-- migration, observed")
                    self.base = self._images()
                    self._migration(connection, during=during)
            except psycopg.errors.SerializationFailure:
                self._say("-- serialization failure: again")
                self.verdict.notes["serialization failures"] += 1
                during = False
            except ConfigurationError as error:
                tables = ast.literal_eval(str(error).partition("alter=")[2].rstrip(".") or "[]")
                if not tables:
                    raise
                self._say(f"-- refused while applications could write to {tables}: again")
                self.verdict.notes["to be locked first"] += 1
            else:
                return
        raise AssertionError("the migration fails without applications")

    def _execute(self) -> None:
        restored = False

        def before_step(text: str) -> None:
            nonlocal restored
            restored = not re.search(r"Bring the schema back|Everything back", text)
            if restored:
                self.progress.before_step = None
                try:
                    self._application("steps", 1, original=True)
                finally:
                    self.progress.before_step = before_step

        if self.small_steps:
            self.progress.before_step = before_step
        killing = self.kills and self._wanted("kill")
        try:
            for attempt in range(6):
                with self._killer(killing and attempt < 4, attempt):
                    try:
                        self.record = self.scenario.execute()
                    except (ComponentUnavailableError, BusyError) as error:
                        if not killing:
                            raise
                        self.verdict.notes["killed"] += 1
                        self._say(f"-- killed: {error}")
                    else:
                        return
            raise AssertionError("it did not converge")
        finally:
            self.progress.before_step = None

    @contextmanager
    def _killer(self, active: bool, attempt: int) -> Iterator[None]:
        if not active:
            yield
            return
        ended = threading.Event()
        pause = random.Random(f"{self.seed}:kill:{attempt}").uniform(0.005, 0.12)

        def kill() -> None:
            if not ended.wait(pause):
                self.database.rows(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rollback-provider'"
                    " and datname = current_database()"
                )

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            ended.set()
            killer.join()

    # Schema ----------------------------------------------------------------------------------------------------------------

    def _setup(self, connection: psycopg.Connection) -> None:
        rng = self._rng("schema")
        self._try(connection, "create schema s2")
        self._try(
            connection,
            "create type mood as enum ('sad', 'ok', 'happy'); create domain small as integer check (value >= 0)",
        )
        made: list[tuple[str, str, str]] = []
        for number, name in enumerate(rng.sample(TABLES, rng.randint(2, 4))):
            self._create_table(connection, rng, quoted("s2" if rng.random() < 0.15 else "public", name), made, number)
        for i in range(rng.randint(0, 5)):
            if self._wanted(f"extra {i}"):
                self._extra(connection, self._rng(f"extra {i}"), made)
        for number, (table, *_) in enumerate(made):
            if self._wanted(f"rows {number}"):
                rows = self._rng(f"rows {number}")
                for _ in range(rows.choice([0, 1, 5, 12, 25])):
                    self._try(connection, self._insert(connection, rows, table))

    def _create_table(
        self,
        connection: psycopg.Connection,
        rng: random.Random,
        table: str,
        made: list[tuple[str, str, str]],
        number: int,
    ) -> None:
        shape = rng.choice(
            [
                "serial",
                "serial",
                "identity",
                "always",
                "text",
                "pair",
                "uuid",
                "unique",
                "deferrable",
                "none",
                "int",
                "child",
                "far",
            ]
        )
        columns, constraints, key = [], [], "id"
        numeric_parents = [m for m in made if m[2] == "integer"]
        match shape:
            case "serial":
                columns.append("id serial primary key")
            case "identity":
                columns.append("id integer generated by default as identity primary key")
            case "always":
                columns.append("id integer generated always as identity primary key")
            case "text":
                columns.append("id text primary key")
            case "pair":
                columns += ["a integer", "b text"]
                constraints.append("primary key (b, a)")
            case "uuid":
                columns.append("id uuid primary key default gen_random_uuid()")
            case "unique":
                columns.append("id integer not null unique")
            case "deferrable":
                columns.append("id integer not null, constraint later unique (id) deferrable")
            case "none":
                columns.append("id integer")
            case "child" if numeric_parents:
                parent = rng.choice(numeric_parents)
                columns.append(
                    f"id integer primary key references {parent[0]} ({parent[1]}) on delete {rng.choice(['cascade', 'restrict'])}"
                )
            case "int" | "child":
                columns.append("id integer primary key")
        names = rng.sample(NAMES, rng.randint(2, 6))
        chosen = []
        for name in names:
            type_ = rng.choices(list(TYPES), list(TYPES.values()))[0]
            chosen.append((name, type_))
            text = f"{quoted(name)} {'public.' if type_ in {'mood', 'small'} else ''}{type_}"
            if rng.random() < 0.25:
                text += " not null"
            if rng.random() < 0.25:
                text += f" default {self._literal(rng, type_)}"
            if rng.random() < 0.12 and type_ in {"integer", "text", "character varying(20)", "bigint"}:
                text += " unique"
            columns.append(text)
        if shape == "far":  # the key stands in the middle, among others
            columns.insert(rng.randint(0, len(columns)), "id bigint generated by default as identity")
            constraints.append("primary key (id)")
        texts = [n for n, t in chosen if t in {"text", "character varying(20)"}]
        numbers = [n for n, t in chosen if t in {"integer", "bigint", "numeric(10,2)"}]
        if texts and rng.random() < 0.3:
            columns.append(f"gen text generated always as (upper({quoted(rng.choice(texts))})) stored")
        if numbers and rng.random() < 0.4:
            constraints.append(
                f"constraint {rng.choice(['positive', 'chk'])} check ({quoted(rng.choice(numbers))} >= 0)"
            )

        def action() -> str:
            return rng.choice(
                [
                    "",
                    "on delete cascade",
                    "on delete set null",
                    "deferrable initially deferred",
                    "deferrable",
                    "on update cascade",
                ]
            )

        if shape in {"serial", "identity", "int"} and rng.random() < 0.3:
            columns.append(f"up integer references {table} (id) {action()}")
        for parent in numeric_parents:
            if rng.random() < 0.5:
                columns.append(
                    f"{quoted('p' + str(len(columns)))} integer references {parent[0]} ({parent[1]}) {action()}"
                )
        if texts and numbers and rng.random() < 0.15:
            constraints.append(f"unique ({quoted(texts[0])}, {quoted(numbers[0])})")
        unlogged = "unlogged " if rng.random() < 0.05 else ""
        if not self._try(connection, f"create {unlogged}table {table} ({', '.join(columns + constraints)})"):
            return
        kind = "integer" if shape in {"serial", "identity", "always", "unique", "int", "child"} else shape
        made.append((table, key, kind))

    def _extra(self, connection: psycopg.Connection, rng: random.Random, made: list[tuple[str, str, str]]) -> None:
        table = rng.choice(made)[0]
        columns = self._columns(connection, table)
        one, two = rng.choice(columns), rng.choice(columns)
        a, b = quoted(one.name), quoted(two.name)
        name = f"x{rng.randrange(1000)}"
        match rng.choice(
            [
                "index",
                "partial",
                "unique",
                "expression",
                "view",
                "view",
                "join",
                "matview",
                "trigger",
                "trigger",
                "audit",
                "comment",
                "grant",
                "stats",
                "policy",
                "function",
            ]
        ):
            case "index":
                self._try(connection, f"create index {name} on {table} ({a} desc nulls last)")
            case "partial":
                self._try(connection, f"create index {name} on {table} ({a}) where {b} is not null")
            case "unique":
                self._try(connection, f"create unique index {name} on {table} ({a}, {b})")
            case "expression":
                self._try(connection, f"create index {name} on {table} (lower({a}::text))")
            case "view":
                self._try(
                    connection,
                    f"create view {name} as select {a} as one, {b} as two from {table} where {a} is not null",
                )
            case "join":
                other = rng.choice(made)[0]
                self._try(
                    connection,
                    f"create view {name} as select l.{a} as l, count(*) as n from {table} l cross join {other} r group by l.{a}",
                )
            case "matview":
                self._try(connection, f"create materialized view {name} as select count({a}) as n from {table}")
            case "trigger":
                target = next(
                    (
                        c
                        for c in columns
                        if c.type == "integer" and not c.parent and not c.identity and c.name not in {"id", "a", "up"}
                    ),
                    None,
                )
                if target:
                    body = f"begin new.{quoted(target.name)} := coalesce(new.{quoted(target.name)}, 0) + 1; return new; end"
                    self._try(connection, f"create function {name}() returns trigger language plpgsql as '{body}'")
                    self._try(
                        connection,
                        f"create trigger {name} before update on {table} for each row execute function {name}()",
                    )
                    if rng.random() < 0.3:
                        self._try(
                            connection,
                            f"alter table {table} {rng.choice(['disable', 'enable always', 'enable replica'])} trigger {name}",
                        )
            case "audit":
                self._try(
                    connection,
                    f"create table {name}_audit (n bigint generated always as identity primary key, what text)",
                )
                body = f"begin insert into public.{name}_audit (what) values (tg_op); return null; end"
                self._try(connection, f"create function {name}() returns trigger language plpgsql as '{body}'")
                self._try(
                    connection,
                    f"create trigger {name} after insert or update or delete on {table} for each row execute function {name}()",
                )
            case "comment":
                self._try(connection, f"comment on column {table}.{a} is 'a''b'; comment on table {table} is 'c'")
            case "grant":
                self._try(connection, f"grant select on {table} to public; grant update ({a}) on {table} to public")
            case "stats":
                self._try(connection, f"create statistics {name} on {a}, {b} from {table}")
            case "policy":
                self._try(connection, f"create policy {name} on {table} using ({a} is not null)")
            case "function":
                self._try(
                    connection,
                    f"create function {name}(r {table}) returns text language sql as $$ select ($1.{a})::text $$",
                )

    # Migration -------------------------------------------------------------------------------------------------------------

    def _migration(self, connection: psycopg.Connection, *, during: bool = False) -> None:
        count = self._rng("migration").choice([1, 2, 3, 4, 6, 9])
        for i in range(count):
            if during and i % 2 == 0:
                self._application(f"during {i}", 2, original=True)
            if self._wanted(f"op {i}"):
                self._operation(connection, self._rng(f"op {i}"))
            if during:
                self._application(f"amid {i}", 1, original=True)

    def _operation(self, connection: psycopg.Connection, rng: random.Random) -> None:
        tables = self._tables(connection)
        if not tables:
            return
        schema, name = rng.choice(tables)
        table = quoted(schema, name)
        columns = self._columns(connection, table)
        if not columns:
            return
        column = rng.choice(columns)
        c, fresh = quoted(column.name), f"new{rng.randrange(100)}"
        key = self._key(connection, table)
        renames: list[tuple[tuple[str, str], tuple[str, str]]] = []
        column_renames: list[tuple[str, str]] = []
        kinds = {
            "update": 8, "delete": 4, "insert": 4, "update key": 1, "touch": 1, "update all": 2, "truncate": 0.4, "swap values": 0.5,
            "rename table": 2, "rename column": 3, "swap tables": 1, "swap columns": 1, "drop column": 4, "add column": 3, "drop and add": 1.5,
            "type": 5, "add check": 1, "drop constraint": 2, "add unique": 1, "drop index": 1, "add index": 1, "set default": 1, "drop default": 1,
            "set not null": 1, "drop not null": 1.5, "drop table": 2, "create table": 1.5, "recreate": 1, "add label": 1, "rename label": 0.5, "drop view": 0.5,
            "drop trigger": 0.6, "disable trigger": 0.4, "move": 0.6, "add key": 0.5, "drop key": 0.7, "drop identity": 0.5, "add identity": 0.3, "sequence": 0.5,
            "comment": 0.4, "unlogged": 0.2, "domain": 0.4, "drop expression": 0.4, "rename constraint": 0.3, "rename index": 0.3, "split": 0.5, "add fk": 0.6,
            "retype key": 0.5, "cluster": 0.2, "storage": 0.2, "drop type": 0.2, "recreate key": 0.3, "rename chain": 0.4, "add generated": 0.3, "drop schema object": 0.2,
        }  # fmt: skip
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        some = f"ctid in (select ctid from {table} r order by r::text offset {rng.randrange(4)} limit {rng.choice([1, 2, 5, 50])})"
        statements: list[str] = []
        match kind:
            case "update" | "update all" | "touch" | "update key":
                if kind == "update key" and key:
                    column = next(x for x in columns if x.name == key[0])
                free = [
                    x
                    for x in columns
                    if not x.generated and (x.name not in key or kind == "update key") and x.identity != "a"
                ]
                if kind == "update key":
                    free = [x for x in free if x.name in key]
                if free:
                    chosen = rng.sample(free, rng.randint(1, min(2, len(free))))
                    many = kind != "update key" and rng.random() < 0.5
                    sets = []
                    for x in chosen:
                        q = quoted(x.name)
                        if kind == "touch":
                            sets.append(f"{q} = {q}")
                        elif many and x.type in {"integer", "bigint", "numeric(10,2)", "numeric"} and not x.parent:
                            sets.append(f"{q} = {q} + 7")
                        elif many and x.type == "text":
                            sets.append(f"{q} = {q} || 'm'")
                        else:
                            sets.append(f"{q} = {self._value(rng, x, nulls=0.15)}")
                    statements.append(
                        f"update {table} set {', '.join(sets)}" + ("" if kind == "update all" else f" where {some}")
                    )
            case "swap values":
                pair = next(
                    (
                        (x, y)
                        for x in columns
                        for y in columns
                        if x.name < y.name
                        and x.type == y.type
                        and not {x.generated, y.generated} - {""}
                        and not {x.name, y.name} & set(key)
                    ),
                    None,
                )
                if pair:
                    one, two = quoted(pair[0].name), quoted(pair[1].name)
                    statements.append(f"update {table} set {one} = {two}, {two} = {one}")
            case "delete":
                statements.append(f"delete from {table} where {some}")
            case "insert":
                statements += [self._insert(connection, rng, table) for _ in range(rng.randint(1, 3))]
            case "truncate":
                statements.append(f"truncate {table} {rng.choice(['', 'cascade', 'restart identity cascade'])}")
            case "rename table":
                statements.append(f"alter table {table} rename to {quoted(fresh)}")
                renames.append(((schema, name), (schema, fresh)))
            case "move":
                other = "public" if schema == "s2" else "s2"
                statements.append(f"alter table {table} set schema {other}")
                renames.append(((schema, name), (other, name)))
            case "rename column":
                statements.append(f"alter table {table} rename column {c} to {quoted(fresh)}")
                column_renames.append((column.name, fresh))
            case "swap columns" if len(columns) > 1:
                other_column = rng.choice([x for x in columns if x is not column]).name
                o = quoted(other_column)
                statements.append(
                    f"alter table {table} rename column {c} to tmp; alter table {table} rename column {o} to {c}; alter table {table} rename column tmp to {o}"
                )
                column_renames += [(column.name, "tmp"), (other_column, column.name), ("tmp", other_column)]
            case "rename chain":
                statements.append(
                    f"alter table {table} rename column {c} to {quoted(fresh)}; alter table {table} add column {c} text default 'chain'"
                )
                column_renames.append((column.name, fresh))
            case "swap tables" if len(tables) > 1:
                other_schema, other_name = rng.choice([t for t in tables if t != (schema, name)])
                other_table = quoted(other_schema, other_name)
                if other_schema == schema:
                    statements.append(
                        f"alter table {table} rename to tmp; alter table {other_table} rename to {quoted(name)};"
                        f" alter table {quoted(schema, 'tmp')} rename to {quoted(other_name)}"
                    )
                    renames += [
                        ((schema, name), (schema, "tmp")),
                        ((schema, other_name), (schema, name)),
                        ((schema, "tmp"), (schema, other_name)),
                    ]
            case "drop column":
                statements.append(f"alter table {table} drop column {c}{rng.choice(['', ' cascade'])}")
            case "add column":
                type_ = rng.choices(list(TYPES), list(TYPES.values()))[0]
                prefix = "public." if type_ in {"mood", "small"} else ""
                tail = rng.choice(
                    ["", f" default {self._literal(rng, type_)}", f" not null default {self._literal(rng, type_)}"]
                )
                if type_ == "double precision" and rng.random() < 0.5:
                    tail = " default random()"
                statements.append(f"alter table {table} add column {quoted(fresh)} {prefix}{type_}{tail}")
            case "add generated":
                statements.append(
                    f"alter table {table} add column {quoted(fresh)} text generated always as (({c})::text) stored"
                )
            case "drop and add":
                tail = rng.choice(["", f" default {self._literal(rng, column.type)}"])
                between = rng.choice(["", f"; update {table} set {c} = {self._value(rng, column)} where {some}"])
                statements.append(
                    f"alter table {table} drop column {c} cascade; alter table {table} add column {c} {column.type}{tail}{between}"
                )
            case "split":
                statements.append(
                    f"alter table {table} add column {quoted(fresh)} {column.type}; update {table} set {quoted(fresh)} = {c}; alter table {table} drop column {c} cascade"
                )
            case "type":
                offers = [
                    (x, to, how)
                    for x in columns
                    for f, to, how in CONVERSIONS
                    if x.type.removeprefix("public.") == f and not x.generated
                ]
                if offers:
                    x, to, how = rng.choice(offers)
                    q = quoted(x.name)
                    drop = f"alter column {q} drop default, " if x.default and rng.random() < 0.7 else ""
                    statements.append(f"alter table {table} {drop}alter column {q} type {to} {how.format(c=q)}")
            case "retype key":
                statements += [
                    f"alter table {table} alter column {quoted(x.name)} type {rng.choice(['bigint', 'text'])}"
                    for x in columns
                    if x.name in key and x.type == "integer"
                ][:1]
            case "add check":
                statements.append(
                    f"alter table {table} add constraint {fresh} check ({c} is not null or {c} is null){rng.choice(['', ' not valid'])}"
                )
            case "add unique":
                statements.append(f"alter table {table} add unique ({c})")
            case "drop constraint" | "rename constraint" | "recreate key":
                want = "contype = 'p'" if kind == "recreate key" else "contype in ('c', 'f', 'u', 'p')"
                found = connection.execute(
                    f"select quote_ident(conname), pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass and {want} order by 1",
                    [table],
                ).fetchall()
                if found:
                    constraint, definition = rng.choice(found)
                    if kind == "rename constraint":
                        statements.append(f"alter table {table} rename constraint {constraint} to {fresh}")
                    elif kind == "recreate key":
                        statements.append(
                            f"alter table {table} drop constraint {constraint}, add constraint {constraint} {definition}"
                        )
                    else:
                        statements.append(
                            f"alter table {table} drop constraint {constraint}{rng.choice(['', ' cascade'])}"
                        )
            case "add index":
                statements.append(f"create {rng.choice(['', 'unique '])}index on {table} ({c})")
            case "drop index" | "rename index":
                found = connection.execute(
                    "select i.indexrelid::regclass::text from pg_index i where i.indrelid = %s::regclass and not exists"
                    " (select from pg_constraint where conindid = i.indexrelid) order by 1",
                    [table],
                ).fetchall()
                if found:
                    index = rng.choice(found)[0]
                    statements.append(
                        f"drop index {index}" if kind == "drop index" else f"alter index {index} rename to {fresh}"
                    )
            case "set default":
                statements.append(f"alter table {table} alter column {c} set default {self._literal(rng, column.type)}")
            case "drop default":
                statements.append(f"alter table {table} alter column {c} drop default")
            case "set not null":
                if not column.generated:
                    statements.append(
                        f"update {table} set {c} = {self._value(rng, column, nulls=0)} where {c} is null; alter table {table} alter column {c} set not null"
                    )
            case "drop not null":
                hard = [x for x in columns if x.notnull and x.name not in key] or [column]
                statements.append(f"alter table {table} alter column {quoted(rng.choice(hard).name)} drop not null")
                if rng.random() < 0.5:
                    statements.append(f"update {table} set {quoted(hard[0].name)} = null where {some}")
            case "drop table":
                statements.append(f"drop table {table}{rng.choice(['', ' cascade'])}")
            case "create table":
                statements.append(
                    f"create table {quoted(fresh)} (id serial primary key, v text); insert into {quoted(fresh)} (v) values ('one'), ('two')"
                )
                if (
                    rng.random() < 0.4
                    and key == ["id"]
                    and next(x for x in columns if x.name == "id").type == "integer"
                ):
                    statements.append(f"alter table {quoted(fresh)} add column p integer references {table} (id)")
            case "recreate":
                statements.append(
                    f"create table {quoted('public', fresh)} (like {table} including all); insert into {quoted('public', fresh)} overriding system value select * from {table};"
                    f" drop table {table} cascade; alter table {quoted('public', fresh)} rename to {quoted(name)}"
                    + (f"; alter table {quoted('public', name)} set schema {schema}" if schema != "public" else "")
                )
            case "add label":
                statements.append(
                    f"alter type mood add value '{fresh}' {rng.choice(['', 'before ok'.replace(chr(39) * 2, chr(39)), 'after sad'.replace(chr(39) * 2, chr(39))])}"
                )
            case "rename label":
                statements.append(f"alter type mood rename value '{rng.choice(['sad', 'ok', 'happy'])}' to '{fresh}'")
            case "drop type":
                statements.append(f"drop type {rng.choice(['mood', 'small'])} cascade")
            case "drop view" | "drop schema object":
                found = connection.execute(
                    f"select c.oid::regclass::text, relkind::text from pg_class c join pg_namespace n on n.oid = relnamespace where {USER_SCHEMAS} and relkind in ('v', 'm') order by 1"
                ).fetchall()
                if found:
                    view, relkind = rng.choice(found)
                    statements.append(f"drop {'materialized ' if relkind == 'm' else ''}view {view} cascade")
            case "drop trigger" | "disable trigger":
                found = connection.execute(
                    "select quote_ident(tgname), tgrelid::regclass::text, tgfoid::regprocedure::text from pg_trigger where not tgisinternal order by 1"
                ).fetchall()
                if found:
                    trigger, of, function = rng.choice(found)
                    statements.append(
                        f"drop trigger {trigger} on {of}"
                        if kind == "drop trigger"
                        else f"alter table {of} {rng.choice(['disable', 'enable always'])} trigger {trigger}"
                    )
                    if kind == "drop trigger" and rng.random() < 0.5:
                        statements.append(f"drop function {function}")
            case "add key" if not key:
                statements.append(f"alter table {table} add column {quoted(fresh)} bigserial primary key")
            case "drop key":
                found = connection.execute(
                    "select quote_ident(conname) from pg_constraint where conrelid = %s::regclass and contype = 'p'",
                    [table],
                ).fetchall()
                if found:
                    statements.append(f"alter table {table} drop constraint {found[0][0]} cascade")
            case "drop identity":
                statements.append(f"alter table {table} alter column id drop identity")
            case "add identity":
                statements.append(f"alter table {table} alter column {c} add generated by default as identity")
            case "sequence":
                found = connection.execute(
                    f"select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = relnamespace where {USER_SCHEMAS} and relkind = 'S' order by 1"
                ).fetchall()
                if found:
                    statements.append(
                        f"alter sequence {rng.choice(found)[0]} {rng.choice(['restart 500', 'increment 5', 'maxvalue 100000', 'cache 10'])}"
                    )
            case "comment":
                statements.append(f"comment on column {table}.{c} is 'changed'; comment on table {table} is null")
            case "unlogged":
                statements.append(f"alter table {table} set {rng.choice(['unlogged', 'logged'])}")
            case "domain":
                statements.append(
                    rng.choice(
                        [
                            "alter domain small drop constraint small_check",
                            "alter domain small set default 3",
                            "alter domain small add check (value < 1000000)",
                            "alter domain small rename to smaller",
                        ]
                    )
                )
            case "drop expression":
                statements.append(f"alter table {table} alter column gen drop expression")
            case "add fk":
                other_schema, other_name = rng.choice(tables)
                statements.append(
                    f"alter table {table} add column {quoted(fresh)} integer references {quoted(other_schema, other_name)}"
                )
            case "cluster":
                statements.append(f"alter table {table} alter column {c} set statistics 50, set (fillfactor = 70)")
            case "storage":
                statements.append(f"alter table {table} alter column {c} set storage external")
        savepoint = connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        done = False
        for statement in statements:
            done = self._try(connection, statement, savepoint=savepoint) or done
        if done:
            for old, new in re.findall(r"rename value '(\w+)' to '(\w+)'", " ".join(statements)):
                self.relabelled[new] = self.relabelled.get(old, old)
            self.verdict.notes[f"op {kind}"] += 1
            self._follow(connection, (schema, name), renames, column_renames)

    def _follow(
        self,
        connection: psycopg.Connection,
        table: tuple[str, str],
        renames: list[tuple[tuple[str, str], tuple[str, str]]],
        column_renames: list[tuple[str, str]],
    ) -> None:
        """What the statement has made of the tables of the snapshot."""
        for lineage in self.lineages:
            for old, new in renames:
                if lineage.now == old:
                    lineage.now = new
                    lineage.names = lineage.names | {"\0": None}
                    break_ = True
                else:
                    break_ = False
                if break_ and new[1] != "tmp":
                    break
            lineage.names.pop("\0", None)
            if lineage.now == table and column_renames:
                for column, now in lineage.names.items():
                    for old_name, new_name in column_renames:
                        if now == old_name:
                            now = new_name  # noqa: PLW2901
                            if new_name != "tmp":
                                break
                    lineage.names[column] = now
        present = set(self._tables(connection))
        for lineage in self.lineages:
            if lineage.now not in present:
                lineage.now = None
            if lineage.now is None:
                lineage.names = dict.fromkeys(lineage.names)
                continue
            names = {c.name for c in self._columns(connection, quoted(*lineage.now))}
            lineage.names = {column: now if now in names else None for column, now in lineage.names.items()}

    # Applications ----------------------------------------------------------------------------------------------------------

    def _application(self, phase: str, most: int, *, original: bool = False) -> None:
        """Applications write, each statement for itself; what they have changed is found by looking before and after."""
        rng = self._rng(phase)
        count = rng.randint(0, most)
        with self.database.connect() as connection:
            connection.execute("set lock_timeout = '60ms'; set deadlock_timeout = '50ms'")
            for i in range(count):
                if not self._wanted(f"{phase} write {i}"):
                    continue
                own = self._rng(f"{phase} write {i}")
                tables = self._free_tables(connection)
                if not tables:
                    return
                schema, name = own.choice(tables)
                table = quoted(schema, name)
                keyed = any(
                    (lin.schema, lin.name) == (schema, name) if original else lin.now == (schema, name)
                    for lin in self.lineages
                    if lin.key
                )
                known = any(
                    (lin.schema, lin.name) == (schema, name) if original else lin.now == (schema, name)
                    for lin in self.lineages
                )
                if known and not keyed and own.random() < 0.85:
                    continue
                statement = self._write(connection, own, table)
                if not statement:
                    continue
                before = self._images(connection, original=original)
                extra = self._extras(connection, original=original)
                bag = self._keyless_rows(connection, (schema, name), original=original)
                if self._try(connection, statement, application=phase):
                    self._keyless_effects(bag, self._keyless_rows(connection, (schema, name), original=original))
                    self._effects(before, self._images(connection, original=original))
                    self.late = self.late or phase in {"late", "steps"}
                    self._extra_effects(extra, self._extras(connection, original=original))

    def _write(self, connection: psycopg.Connection, rng: random.Random, table: str) -> str:
        columns = self._columns(connection, table)
        key = self._key(connection, table)
        rows = connection.execute(f"select count(*) from {table}").fetchone()
        count = rows[0] if rows else 0
        kind = rng.choices(["update", "insert", "delete", "touch", "key"], [6, 3, 1.5, 0.5, 0.3])[0]
        row = f"ctid = (select ctid from {table} r order by r::text offset {rng.randrange(max(count, 1))} limit 1)"
        free = [c for c in columns if not c.generated and c.name not in key and c.identity != "a"]
        if kind == "insert" or not count:
            return self._insert(connection, rng, table)
        if kind == "delete":
            return f"delete from {table} where {row}"
        if kind == "key":
            free = [c for c in columns if c.name in key and c.identity != "a"]
        if not free:
            return ""
        if kind == "touch":
            return f"update {table} set {quoted(free[0].name)} = {quoted(free[0].name)} where {row}"
        chosen = rng.sample(free, rng.randint(1, min(2, len(free))))
        sets = ", ".join(f"{quoted(c.name)} = {self._value(rng, c, nulls=0.1)}" for c in chosen)
        return f"update {table} set {sets} where {row}"

    def _effects(self, before: dict[str, Image], after: dict[str, Image]) -> None:
        for scope in before.keys() & after.keys():
            old, new = before[scope], after[scope]
            for key in old.keys() | new.keys():
                was, now = old.get(key), new.get(key)
                if was == now:
                    continue
                written = self.written.setdefault((scope, key), Written())
                if now is None:
                    written.deleted, written.values = True, {}
                elif was is None:
                    written.deleted, written.inserted, written.values = False, True, dict(now)
                else:
                    written.values |= {c: v for c, v in now.items() if was.get(c) != v}

    def _keyless_rows(
        self, connection: psycopg.Connection, table: tuple[str, str], *, original: bool
    ) -> tuple[str, Counter[tuple[tuple[str, str | None], ...]]]:
        for lineage in self.lineages:
            if not lineage.key and ((lineage.schema, lineage.name) if original else lineage.now) == table:
                names = {c: c for c in lineage.columns} if original else lineage.names
                there = {c.name for c in self._columns(connection, quoted(*table))}
                columns = [(c, n) for c, n in names.items() if n in there and c not in lineage.generated]
                listed = ", ".join(
                    f"case when {quoted(n)} is distinct from null then concat({quoted(n)}) end" for _, n in columns if n
                )
                rows = connection.execute(f"select {listed} from only {quoted(*table)}").fetchall() if columns else []
                return lineage.scope, Counter(tuple(zip((c for c, _ in columns), row, strict=True)) for row in rows)
        return "", Counter()

    def _keyless_effects(self, before: tuple[str, Counter[Any]], after: tuple[str, Counter[Any]]) -> None:
        if not after[0]:
            return
        wrote = self.keyless.setdefault(after[0], Counter())
        wrote.update(after[1] - before[1])
        wrote.subtract({row: count for row, count in (before[1] - after[1]).items() if row in wrote})

    def _extra_effects(self, before: dict[tuple[str, Key, str], str], after: dict[tuple[str, Key, str], str]) -> None:
        for cell, value in after.items():
            if before.get(cell) != value:
                self.extra[cell] = value
        for cell in before.keys() - after.keys():
            self.extra.pop(cell, None)

    # Images ----------------------------------------------------------------------------------------------------------------

    def _images(self, connection: psycopg.Connection | None = None, *, original: bool = False) -> dict[str, Image]:
        """All rows of the tables of the snapshot, by their names then; tables that are locked or have lost their key are left out."""
        if connection is None:
            with self.database.connect() as own:
                return self._images(own, original=original)
        found = {}
        free = set(self._free_tables(connection, reading=True))
        for lineage in self.lineages:
            now = (lineage.schema, lineage.name) if original else lineage.now
            if now not in free or not lineage.key:
                continue
            names = {c: c for c in lineage.columns} if original else lineage.names
            there = {c.name for c in self._columns(connection, quoted(*now))}
            columns = [(c, n) for c, n in names.items() if n in there]
            if not set(lineage.key) <= {c for c, _ in columns}:
                continue
            found[lineage.scope] = self._image(connection, now, columns, lineage.key)
        return found

    def _image(
        self,
        connection: psycopg.Connection,
        table: tuple[str, str],
        columns: Sequence[tuple[str, str | None]],
        key: list[str],
    ) -> Image:
        listed = ", ".join(
            f"case when {quoted(n)} is distinct from null then concat({quoted(n)}) end" for _, n in columns if n
        )
        image: Image = {}
        for values in connection.execute(f"select {listed} from only {quoted(*table)}").fetchall():
            row = dict(zip((c for c, _ in columns), values, strict=True))
            image[tuple(row[k] for k in key)] = row
        return image

    def _extras(self, connection: psycopg.Connection, *, original: bool) -> dict[tuple[str, Key, str], str]:
        """Values that have no place in the snapshot: cells of added columns, rows of added tables."""
        found: dict[tuple[str, Key, str], str] = {}
        if original:
            return found
        by_now = {lin.now: lin for lin in self.lineages if lin.now}
        for schema, name in self._free_tables(connection):
            table = quoted(schema, name)
            lineage = by_now.get((schema, name))
            known = {n for n in lineage.names.values() if n} if lineage else set()
            columns = [c.name for c in self._columns(connection, table) if not c.generated]
            key = [n for k in lineage.key if (n := lineage.names[k])] if lineage else self._key(connection, table)
            if lineage and len(key) != len(lineage.key):
                continue
            added = [c for c in columns if c not in known]
            if not added or not key:
                continue
            defaults = self._defaults(connection, table)
            image = self._image(connection, (schema, name), [(c, c) for c in columns], key)
            for row_key, row in image.items():
                # A value that is the column's default is not listed: it may just as well have come by itself.
                found |= {
                    (f"{schema}.{name}", row_key, c): value
                    for c in added
                    if (value := row[c]) not in {None, defaults.get(c) if lineage else None}
                }
        return found

    def _defaults(self, connection: psycopg.Connection, table: str) -> Row:
        rows = connection.execute(
            "select attname, pg_get_expr(adbin, adrelid) from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum"
            " where adrelid = %s::regclass and attgenerated = '' and pg_get_expr(adbin, adrelid) !~ 'nextval|random'",
            [table],
        ).fetchall()
        return {name: connection.execute(f"select concat({text})").fetchone()[0] for name, text in rows}  # type: ignore[index]

    def _bags(self) -> dict[str, Counter[str]]:
        with self.database.connect() as connection:
            bags = {}
            for lineage in self.lineages:
                listed = ", ".join(map(quoted, lineage.columns))
                rows = connection.execute(
                    f"select row({listed})::text from only {quoted(lineage.schema, lineage.name)}"
                ).fetchall()
                bags[lineage.scope] = Counter(row[0] for row in rows)
            return bags

    def _learn(self, connection: psycopg.Connection) -> None:
        for schema, name in self._tables(connection):
            columns = self._columns(connection, quoted(schema, name))
            lineage = Lineage(
                schema, name, [c.name for c in columns], {c.name: c.type for c in columns}, self._key(connection, quoted(schema, name)),
                {c.name for c in columns if c.generated}, (schema, name), {c.name: c.name for c in columns},
            )  # fmt: skip
            self.lineages.append(lineage)
        self.bags = self._bags()

    def _tables(self, connection: psycopg.Connection) -> list[tuple[str, str]]:
        return connection.execute(
            f"select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' and {USER_SCHEMAS} order by 1, 2"
        ).fetchall()

    def _free_tables(self, connection: psycopg.Connection, *, reading: bool = False) -> list[tuple[str, str]]:
        """Tables that nobody else has locked against writing, or against reading."""
        modes = ["AccessExclusiveLock"] if reading else ["AccessExclusiveLock", "ShareRowExclusiveLock"]
        return connection.execute(
            "select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' and "
            f"{USER_SCHEMAS} and not exists (select from pg_locks l where l.relation = c.oid and l.mode = any(%s) and l.granted"
            " and l.pid <> pg_backend_pid()) order by 1, 2",
            [modes],
        ).fetchall()

    def _key(self, connection: psycopg.Connection, table: str) -> list[str]:
        rows = connection.execute(
            "select array(select attname::text from unnest(indkey::int2[]) with ordinality k(n, o) join pg_attribute a on attrelid = indrelid and attnum = n order by o)"
            " from pg_index where indrelid = %s::regclass and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null"
            " and not exists (select from unnest(indkey::int2[]) n join pg_attribute a on attrelid = indrelid and attnum = n and not attnotnull)"
            " order by indisprimary desc, indexrelid",
            [table],
        ).fetchall()
        return rows[0][0] if rows else []

    def _columns(self, connection: psycopg.Connection, table: str) -> list[Column]:
        rows = connection.execute(
            "select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef, a.attgenerated::text, a.attidentity::text,"
            " f.confrelid::regclass::text, (select attname from pg_attribute where attrelid = f.confrelid and attnum = f.confkey[array_position(f.conkey, a.attnum)])"
            " from pg_attribute a left join lateral (select * from pg_constraint where contype = 'f' and conrelid = a.attrelid and a.attnum = any(conkey) order by oid limit 1) f on true"
            " where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum",
            [table],
        ).fetchall()
        return [Column(*row) for row in rows]

    # Values ----------------------------------------------------------------------------------------------------------------

    def _insert(self, connection: psycopg.Connection, rng: random.Random, table: str) -> str:
        columns = [c for c in self._columns(connection, table) if not c.generated]
        key = self._key(connection, table)
        given = [
            c
            for c in columns
            if not ((c.default or c.identity) and rng.random() < (0.9 if c.name in key or c.identity else 0.5))
        ]
        if not given:
            return f"insert into {table} default values"
        values = ", ".join(self._value(rng, c, nulls=0.2) for c in given)
        overriding = " overriding system value" if any(c.identity == "a" for c in given) else ""
        return f"insert into {table} ({', '.join(quoted(c.name) for c in given)}){overriding} values ({values})"

    def _value(self, rng: random.Random, column: Column, *, nulls: float = 0.1) -> str:
        if not column.notnull and rng.random() < nulls:
            return "null"
        if column.parent and column.parent_column:
            q = quoted(column.parent_column)
            return f"(select {q} from {column.parent} order by {q}::text offset {rng.randrange(6)} limit 1)"
        return self._literal(rng, column.type)

    def _literal(self, rng: random.Random, type_: str) -> str:
        self.token += 1
        n = self.token
        type_ = type_.removeprefix("public.")
        base, _, size = type_.partition("(")
        match base:
            case "integer" | "bigint" | "small" | "smaller":
                return str(n)
            case "smallint":
                return str(n % 30000)
            case "text":
                return rng.choice([f"'w{n}'"] * 8 + [f"E'w\\t{n}\\\\\\n'", "''", f"'ü{n}'", "'NULL'", "E'\\\\N'"])
            case "character varying" | "character":
                if type_.endswith("[]"):
                    return f"array['w{n}']"
                return f"'w{n}'" if int(size.rstrip(")") or 9) > 5 else f"'{n % 1000}'"
            case "numeric":
                return f"{n}.{rng.choice(['50', '25', '1', '00'])}"
            case "boolean":
                return rng.choice(["true", "false"])
            case "date":
                return f"('2026-01-01'::date + {n % 3000})"
            case "timestamp with time zone" | "timestamp without time zone":
                return f"('2026-01-01 00:00:00.123456'::{base} + interval '{n} minutes')"
            case "double precision" | "real":
                return rng.choice([f"{n}.5", f"{n}.5", f"{n}.1", "'NaN'", "'-0'", "'Infinity'"])
            case "jsonb" | "json":
                return rng.choice([f"""'{{"a":  {n}}}'""", f"'[1, {n}]'", "'null'"])
            case "uuid":
                return f"md5('{n}')::uuid"
            case "bytea":
                return f"'\\x00{n:06x}'::bytea"
            case "integer[]" | "bigint[]":
                return f"'{{1,NULL,{n}}}'"
            case "text[]":
                return f"""array['a b', '{n}', null, '"']"""
            case "interval":
                return f"interval '{n} hours'"
            case "mood":
                return f"(enum_range(null::public.mood))[1 + {n % 3}]"
            case _:
                return "null"

    # Judgement -------------------------------------------------------------------------------------------------------------

    def _judge(self, before: str) -> None:
        after = schema_text(self.database)
        nulls = _not_validated_nulls(after)
        self.left_off = _validated(after, nulls) == _validated(before, nulls) and after != before
        if self.left_off:
            self.verdict.notes["constraints left not valid"] += 1
        elif after != before:
            was, now = before.split("\n"), after.split("\n")
            self._problem(
                "schema: lost "
                + "; ".join(lin for lin in was if lin not in now)[:600]
                + " | new "
                + "; ".join(lin for lin in now if lin not in was)[:600]
            )
        entries = [*self.scenario.entries(), *self.scenario.entries(execution=self.record)]
        listed = {(entry["scope"], tuple(entry["key"].values())) for entry in entries}
        final = self._images(original=True)
        for lineage in self.lineages:
            if not lineage.key:
                continue
            if lineage.scope not in final:
                self._problem(f"rows: {lineage.scope} cannot be read")
                continue
            scopes = {lineage.scope, ".".join(self.moved[lineage.scope][0] or ("", ""))}
            keys = {key for scope, key in listed if scope in scopes}
            self._judge_rows(lineage, final[lineage.scope], keys)
        self._judge_bags(entries)
        text = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        for (scope, key, column), value in self.extra.items():
            if json.dumps(value, ensure_ascii=False) not in text:
                self._problem(
                    f"ledger: {scope} {key} {column} = {value!r} was written by an application and is not listed"
                )
        self._judge_verification()
        if self.policy == "restore" and self.late:
            return  # what was written since the approval is a conflict that a new plan would take back
        if any(entry["action"] == "conflict_kept" for entry in entries):
            return  # what could not go back is planned again, and stands in the way again
        if any(self._written_since(check) for check in self.checks):
            return  # a row that came back and was deleted since looks as the migration left it
        again = self.scenario.generate(conflicts=self.policy)
        if again.steps and not (
            self.left_off and all("VALIDATE" in line for step in again.steps for line in step.script.splitlines())
        ):
            self._problem("again: a second plan has steps: " + " / ".join(step.script for step in again.steps)[:800])

    def _judge_rows(self, lineage: Lineage, final: Image, listed: set[Key]) -> None:
        base = self.base.get(lineage.scope, {})
        for key in base.keys() | final.keys() | {k for scope, k in self.written if scope == lineage.scope}:
            was, now = base.get(key), final.get(key)
            written = self.written.get((lineage.scope, key))
            problem = self._wrong(lineage, was, now, written)
            if problem and key in listed:
                self.verdict.notes["listed in the ledger"] += 1
            elif problem:
                self._problem(f"rows: {lineage.scope} {key}: {problem}")

    def _wrong(self, lineage: Lineage, was: Row | None, now: Row | None, written: Written | None) -> str:
        if written is None:
            if was is None:
                return f"is there though nobody but the migration wrote it: {now}"
            if now is None:
                return "is lost, and no application deleted it"
            if was != now:
                return "differs: " + ", ".join(f"{c} {was[c]!r} -> {now.get(c)!r}" for c in was if was[c] != now.get(c))
            return ""
        if written.deleted:
            return f"was deleted by an application and is there: {now}" if now is not None else ""
        if now is None:
            return f"was written by an application and is lost: {written.values}"
        for column in lineage.columns:
            if column in lineage.generated:
                continue
            if column in written.values:
                if not self._alike(lineage, column, written.values[column], now[column]):
                    return (
                        f"{column} was written by an application as {written.values[column]!r} and is {now[column]!r}"
                    )
            elif was is not None and not written.inserted and was[column] != now[column]:
                return f"{column} was written by no application; was {was[column]!r}, is {now[column]!r}"
        return ""

    def _alike(self, lineage: Lineage, column: str, wrote: str | None, now: str | None) -> bool:
        if wrote == now:
            return True
        if lineage.types[column] == "mood":
            return self.relabelled.get(wrote or "", wrote) == now
        if wrote is None or now is None:
            return False
        try:
            return Decimal(wrote) == Decimal(now)
        except InvalidOperation:
            pass
        self.verdict.notes[f"converted: {lineage.types[column]}"] += 1
        return (
            bool(re.sub(r"\W", "", wrote) == re.sub(r"\W", "", now))
            or (wrote[:10] == now[:10] and wrote[:3] == "202")
            or {wrote, now} in ({"t", "true"}, {"f", "false"})
        )

    def _judge_bags(self, entries: list[Json]) -> None:
        """Tables without a key: as they were, unless an application has written to them; then what it wrote is there."""
        after = self._bags()
        for lineage in self.lineages:
            if lineage.key:
                continue
            lost, new = self.bags[lineage.scope] - after[lineage.scope], after[lineage.scope] - self.bags[lineage.scope]
            wrote = self.keyless.get(lineage.scope)
            if wrote is None:
                if lost or new:
                    self._problem(f"rows: {lineage.scope} (no key): lost {list(lost)[:3]}, new {list(new)[:3]}")
                continue
            with self.database.connect() as connection:
                _, found = self._keyless_rows(connection, (lineage.schema, lineage.name), original=True)
            for row, count in wrote.items():
                same = sum(
                    n
                    for other, n in found.items()
                    if all(self._alike(lineage, c, v, dict(other).get(c)) for c, v in row)
                )
                if same < count and lineage.scope not in {entry["scope"] for entry in entries}:
                    self._problem(
                        f"rows: {lineage.scope} (no key): an application wrote {dict(row)}, which is lost and not listed"
                    )

    def _judge_verification(self) -> None:
        wrong = bool(self.verdict.problems)
        self.checks = self._verify().execution.verification.checks
        bad = [
            c
            for c in self.checks
            if c.status is not CheckStatus.PASSED
            and not (c.scope in self.keyless and (c.status is CheckStatus.WARNING or "no key" in str(c.differences)))
            and not self._written_since(c)
        ]
        if wrong:
            self.verdict.notes[
                "verification saw what is wrong" if bad else "verification did not see what is wrong"
            ] += 1
            if not bad:
                self._problem("verify: passes though something is wrong")
            return
        if self.left_off:
            if not bad:
                self._problem("verify: passes though a constraint is not valid")
            return
        if bad:
            self._problem(
                f"verify: fails though nothing is wrong: {[(c.name, c.scope, c.detail, c.differences) for c in bad]}"[
                    :900
                ]
            )
            return
        damage = self._damage()
        if damage and self._wanted("damage"):
            statement, undo = damage
            with self.database.connect() as connection:
                connection.execute("set session_replication_role = replica")
                try:
                    connection.execute(statement.encode())
                except psycopg.Error:
                    return
                self.verdict.notes["damaged"] += 1
                record = self._verify()
                if all(c.status is CheckStatus.PASSED for c in record.execution.verification.checks):
                    self._problem(f"verify: passes after damage {statement}")
                if undo:
                    connection.execute(undo.encode())
                else:
                    raise _Done

    def _written_since(self, check: Check) -> bool:
        """Whether it only warns of rows that applications have written when the rollback had."""
        if check.status is not CheckStatus.WARNING:
            return False
        keys = {lineage.scope: lineage.key for lineage in self.lineages}
        labels = tuple(
            "row " + ", ".join(f"{name}={value}" for name, value in zip(keys[scope], key, strict=True))
            for scope, key in self.written
            if scope == check.scope
        )
        return all(line.endswith("by somebody again since") and line.startswith(labels) for line in check.differences)

    def _damage(self) -> tuple[str, str] | None:
        """A statement that undoes a part of the rollback, and one that takes that back; tables with triggers of replicas are left alone."""
        rng = self._rng("damage")
        final = self._images(original=True)
        offers: list[tuple[str, str]] = []
        for lineage in self.lineages:
            migrated, base = self.migrated.get(lineage.scope), self.base.get(lineage.scope, {})
            if migrated is None or not lineage.key or self._fires_on_replicas(lineage):
                continue
            if any(self._retyped(lineage, column) for column in lineage.key):
                continue  # its keys do not read as they did
            table = quoted(lineage.schema, lineage.name)
            for key, was in base.items():
                if (lineage.scope, key) in self.written or final[lineage.scope].get(key) != was:
                    continue
                where = " and ".join(f"{quoted(k)} = {_literal(v)}" for k, v in zip(lineage.key, key, strict=True))
                if key not in migrated:
                    offers.append((f"delete from {table} where {where}", ""))
                    continue
                for column, value in migrated[key].items():
                    if (
                        value != was[column]
                        and column not in lineage.generated
                        and column not in lineage.key
                        and not self._retyped(lineage, column)
                    ):
                        offers.append(
                            (
                                f"update {table} set {quoted(column)} = {_literal(value)} where {where}",
                                f"update {table} set {quoted(column)} = {_literal(was[column])} where {where}",
                            )
                        )
        return rng.choice(offers) if offers else None

    def _fires_on_replicas(self, lineage: Lineage) -> bool:
        name = quoted(lineage.schema, lineage.name)
        query = f"select from pg_trigger where tgrelid = '{name}'::regclass and not tgisinternal and tgenabled in ('R', 'A')"
        return bool(self.database.rows(query))

    def _retyped(self, lineage: Lineage, column: str) -> bool:
        return any(
            ("type" in line or "drop column" in line)
            and quoted(self.moved[lineage.scope][1].get(column) or "-") in line
            for line in self.log
        )

    def _verify(self) -> Record:
        assert self.scenario.plan
        return verify(self.store, self.scenario.plan.rollback_id, self.database.resolve, self.progress, actor="test")

    # Small things ----------------------------------------------------------------------------------------------------------

    def _rng(self, label: str) -> random.Random:
        return random.Random(f"{self.seed}:{label}")

    def _wanted(self, label: str) -> bool:
        if label not in self.labels:
            self.labels.append(label)
        return label not in self.skip

    def _say(self, line: str) -> None:
        self.log.append(line)

    def _problem(self, text: str) -> None:
        self.verdict.problems.append(text)

    def _try(
        self, connection: psycopg.Connection, statement: str, *, savepoint: bool = False, application: str = ""
    ) -> bool:
        """Runs a statement; one that PostgreSQL refuses did not happen."""
        mark = f"/* {application} */ " if application else ""
        try:
            if savepoint or ";" in statement:
                with connection.transaction():
                    connection.execute(statement.encode())
            else:
                connection.execute(statement.encode())
        except psycopg.errors.SerializationFailure:
            raise
        except psycopg.Error as error:
            self.verdict.notes[f"refused by the server: {error.sqlstate}"] += 1
            return False
        self._say(f"{mark}{statement};")
        return True


class _Done(Exception):  # noqa: N818
    """The history has ended early, as it should."""


def _literal(value: str | None) -> str:
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def _lines(schema: str) -> list[str]:
    return [line.rstrip(";,") for line in schema.replace(" NOT VALID", "").split("\n")]


def _not_validated_nulls(schema: str) -> set[str]:
    """Columns whose NOT NULL stands apart from them in the schema's text, as one that is not validated does."""
    return {found[1] for line in _lines(schema) if (found := re.match(r" *ADD CONSTRAINT \S+ NOT NULL (\S+)", line))}


def _validated(schema: str, nulls: set[str]) -> str:
    """A schema's text with constraints that are not validated taken for validated, and without the NOT NULL of these columns."""
    kept = [
        line.replace(" NOT NULL", "") if re.match(r" *(\S+) ", line) and line.split()[0] in nulls else line
        for line in _lines(schema)
    ]
    return "\n".join(
        sorted(line for line in kept if " NOT NULL " not in line and not re.fullmatch(r"ALTER TABLE \S+", line))
    )


def minimize(make: Callable[[frozenset[str]], History], same: Callable[[Verdict], bool]) -> History:
    """The smallest history that still shows the problem, by leaving out one part after the other."""
    skip: frozenset[str] = frozenset()
    history = make(skip)
    history.run()
    size = 8
    while size:
        left = [label for label in history.labels if label not in skip]
        before = skip
        for start in range(0, len(left), size):
            part = frozenset(left[start : start + size])
            trial = make(skip | part)
            if same(trial.run()):
                skip, history = skip | part, trial
        size = size // 2 if size > 1 else int(skip != before)
    return history
