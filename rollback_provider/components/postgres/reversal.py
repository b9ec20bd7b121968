"""What the schema half of a rollback hands to the data half: DDL in phases, and which table is which."""

from __future__ import annotations

from dataclasses import dataclass, field

from rollback_provider.components.postgres.tables import Table


@dataclass(frozen=True)
class Statement:
    """One SQL statement of a reversal, complete and without a closing semicolon.

    :param locks: what it locks against applications, in words: ``AccessExclusive on public.orders``; empty where
        nothing is
    :param transactional: false for CREATE INDEX CONCURRENTLY and the like
    """

    sql: str
    locks: str = ""
    transactional: bool = True


@dataclass(frozen=True)
class Recreation:
    """A table that the migration dropped.

    :param table: as it was; its oid and filenode are those of the snapshot
    :param create: CREATE TABLE and what must precede the rows
    :param complete: primary key, unique constraints and indexes, to be run when the rows are in
    """

    table: Table
    create: tuple[Statement, ...]
    complete: tuple[Statement, ...]


@dataclass(frozen=True)
class TableChange:
    """A table that is in the snapshot and in the database now.

    :param then: as it was in the snapshot
    :param now: as it is now; matched by oid, or by name where `by_name` is set
    :param columns: for each attnum of `then` the attnum of `now` that is the same column, or None where it was dropped
    :param retyped: attnums of `then` whose type differs now; `prepare` converts them
    :param relabelled: attnums of `then` that hold an enum of which labels are called otherwise now; `prepare` renames these
    :param added: attnums of `now` that the snapshot does not know; `prepare` drops them
    """

    then: Table
    now: Table
    columns: dict[int, int | None]
    retyped: frozenset[int] = frozenset()
    relabelled: frozenset[int] = frozenset()
    added: frozenset[int] = frozenset()
    by_name: bool = False


@dataclass(frozen=True)
class Rights:
    """What a role must be allowed to run a reversal; objects are labelled for people.

    :param owned: objects that are changed, with the roles of which it has to be one
    :param creating: objects that are made, with their schema; empty for the database
    :param given: objects that get another owner, with that role, and the schema in which that must be allowed to create
    :param referenced: foreign keys that are made, with schema and name of the table that they refer to
    """

    owned: tuple[tuple[str, tuple[str, ...]], ...] = ()
    creating: tuple[tuple[str, str], ...] = ()
    given: tuple[tuple[str, str, str], ...] = ()
    referenced: tuple[tuple[str, tuple[str, str]], ...] = ()


@dataclass(frozen=True)
class Reversal:
    """The schema half of a plan, in phases.

    1. `prepare`: one short transaction. Afterwards every table of `tables` has the name and the writable columns of
       the snapshot (dropped columns added back nullable; columns in front of a volatile default without it), whatever
       the migration added is gone, constraints that the migration added are gone, and nothing that is still missing
       is needed to write rows.
    2. `recreations`: each table created, filled by the data half, then completed.
    3. the data half merges rows.
    4. `finish`: what has to wait for the rows: NOT NULL, checks, foreign keys (NOT VALID, then VALIDATE), indexes,
       defaults, views, functions, triggers, ownership, privileges, comments.

    :param dropped: tables that `prepare` drops, as they are now: created by the migration
    :param sequences: ``schema.name`` of sequences that `prepare` creates again, quoted as SQL
    :param notes: accepted differences, each a sentence
    :param refusals: what cannot be reverted, each by name with the reason; the plan must be refused if there are any
    """

    prepare: tuple[Statement, ...] = ()
    recreations: tuple[Recreation, ...] = ()
    finish: tuple[Statement, ...] = ()
    tables: tuple[TableChange, ...] = ()
    dropped: tuple[Table, ...] = ()
    sequences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = field(default=())
    rights: Rights = field(default_factory=Rights)
