"""What a kind of object is to the engine: how it is read, and the DDL that makes, drops, renames and alters one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Any, ClassVar, Protocol

from rollback_provider.components.postgres.catalog.entry import Entry, Ref
from rollback_provider.components.postgres.catalog.sql_text import as_written, ident
from rollback_provider.components.postgres.reversal import Statement

ATTRIBUTES = frozenset({"owner", "grants", "revokes", "comment", "column_comments", "column_grants"})
"""Facts that objects of any kind may have; undone in one place for all."""


class Phase(IntEnum):
    """When a statement is due; see :class:`~rollback_provider.components.postgres.reversal.Reversal`."""

    PREPARE = 0
    CREATE = 1
    COMPLETE = 2
    FINISH = 3


class Naming(Enum):
    """Where the name of an object has to be unique, and so what may stand in its way when it gets its name back."""

    FIXED = auto()
    """It is called after what it belongs to and cannot be renamed."""
    DATABASE = auto()
    """Among objects of its kind."""
    SCHEMA = auto()
    """Among objects of its kind in a schema; further parts of the name, as a function's arguments, tell it from others."""
    RELATION = auto()
    """Among all relations and types of a schema."""
    TABLE = auto()
    """Among objects of its kind on a table."""


@dataclass(frozen=True)
class Action:
    """Statements that bring one aspect of an object of the snapshot back.

    :param aspect: empty for the object's existence; other actions on the object come after that one
    :param phase: the earliest possible; what it needs may delay it
    :param rank: order among actions that do not need each other
    :param needs: objects that must be there first
    :param table: the table that is created again in `create`, where this is a part of it
    """

    ref: Ref
    label: str
    statements: tuple[Statement, ...]
    aspect: str = ""
    phase: Phase = Phase.PREPARE
    rank: int = 0
    needs: tuple[Ref, ...] = ()
    table: Ref | None = None
    provides: tuple[Ref, ...] = ()
    """Further objects that are there once it is done: the columns of a table."""


class Scene(Protocol):
    """What a kind may ask about the reversal under way."""

    version: int
    role: str

    def then_children(self, parent: Ref, kind: str) -> list[Entry]:
        """Parts of an object of the snapshot."""
        ...

    def then_entry(self, ref: Ref) -> Entry | None:
        """An object of the snapshot."""
        ...

    def now_entry(self, ref: Ref) -> Entry | None:
        """An object of the database now."""
        ...

    def created(self, ref: Ref) -> bool:
        """Whether an object of the snapshot has to be made again, for whatever reason."""
        ...

    def gone(self, ref: Ref) -> bool:
        """Whether an object of the snapshot is not there now."""
        ...

    def new(self, ref: Ref) -> bool:
        """Whether an object now is not in the snapshot."""
        ...

    def recreated_table(self, ref: Ref | None) -> bool:
        """Whether this is a table of the snapshot that is gone."""
        ...

    def collateral(self, ref: Ref) -> bool:
        """Whether it has not changed and is made again only because something that it needs has to be."""
        ...

    def refilled(self, table: Ref | None, numbers: Iterable[int]) -> bool:
        """Whether one of these columns of the snapshot's table is emptied and filled again."""
        ...

    def same(self, then: Entry, now: Entry, fact: str) -> bool:
        """Whether a fact is the same, renamed objects taken into account."""
        ...

    def same_definition(self, then: Entry, now: Entry) -> bool:
        """Whether the definition is the same, renamed objects taken into account."""
        ...

    def in_containers(self, type_: Ref) -> bool:
        """Whether columns hold this type of the snapshot inside arrays or composite types."""
        ...

    def same_needs(self, then: Entry, now: Entry) -> bool:
        """Whether it needs the same objects."""
        ...

    def refuse(self, sentence: str) -> None:
        """Notes something that cannot be reverted."""
        ...

    def note(self, sentence: str) -> None:
        """Notes an accepted difference."""
        ...


class Kind:
    """A kind of object.

    A subclass says how to read it (`query`) and what to do. The query gives columns oid, sub, parent, name, facts, definition,
    stored, refs, extra; its parameter ``schemas`` is the array of schema oids that are looked at.
    """

    name: ClassVar[str]
    classid: ClassVar[int]
    held_in: ClassVar[str] = ""
    """FROM and WHERE that give rows if users have made any: 16384 is the first oid that is not the system's. Empty: it is always read."""
    keyword: ClassVar[str] = ""
    """As in COMMENT ON and ALTER … OWNER TO."""
    rank: ClassVar[int] = 0
    """Order of creation among objects that do not need each other."""
    reversible: ClassVar[bool] = True
    droppable_late: ClassVar[bool] = False
    """It is dropped after everything else was put back: columns may still be using it."""
    naming: ClassVar[Naming] = Naming.FIXED
    swapped: ClassVar[bool] = False
    """Columns that use one have to be converted where it is made again."""
    acl: ClassVar[str] = ""
    """As in GRANT … ON; empty where there are no privileges."""
    default_acl: ClassVar[str] = ""
    """As in pg_default_acl.defaclobjtype; empty where there are no default privileges."""
    altered: ClassVar[frozenset[str]] = frozenset()
    """Facts that `alter` can undo; any other that differs means that the object is made again."""

    owned: ClassVar[bool] = True
    """It has an owner of its own."""

    def query(self, version: int) -> str:
        """SQL that reads all objects of this kind; `version` is server_version_num."""
        raise NotImplementedError

    def address(self, name: tuple[str, ...]) -> str:
        """Its name as SQL."""
        return ident(*name)

    def target(self, entry: Entry) -> str:
        """Keyword and name, as in COMMENT ON."""
        return f"{self.keyword} {self.address(entry.name)}"

    def granted(self, entry: Entry) -> str:
        """Keyword and name, as in GRANT … ON."""
        return f"{self.acl} {self.address(entry.name)}"

    def privileged(self, entry: Entry) -> bool:
        """Whether making or altering it takes a superuser, whoever owns it."""
        return False

    def lock(self, entry: Entry) -> str:
        """What its DDL locks, in words."""
        return ""

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        """Whether what differs can only be undone by dropping it and making it again."""
        return not scene.same_definition(then, now) or bool(self.differing(then, now, scene) - self.altered)

    def differing(self, then: Entry, now: Entry, scene: Scene) -> set[str]:
        """Facts that differ, apart from owner, privileges and comment, which every kind has."""
        facts = (then.facts.keys() | now.facts.keys()) - ATTRIBUTES
        return {fact for fact in facts if not scene.same(then, now, fact)}

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        """Actions that make it as it was, without owner, privileges and comment."""
        raise NotImplementedError

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        """Statements that drop it and nothing else."""
        return (Statement(f"DROP {self.target(now)}", self.lock(now)),)

    def order(self, entry: Entry) -> int:
        """Order of creation; things are dropped the other way round."""
        return self.rank

    def lets_go(self, now: Entry, needed: Entry) -> bool:
        """Whether `loosen` parts it from this, so that it can stay where that is dropped."""
        return False

    def loosen(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Statement]:
        """What has to be undone before anything is dropped. Names are those of now."""
        return iter(())

    def rename(self, now: Entry, name: tuple[str, ...], new: str) -> Statement:
        """Gives it another name; `name` is what it is called at that moment."""
        return Statement(f"ALTER {self.keyword} {self.address(name)} RENAME TO {ident(new)}", self.lock(now))

    def move(self, now: Entry, name: tuple[str, ...], schema: str) -> Statement:
        """Puts it into another schema."""
        return Statement(f"ALTER {self.keyword} {self.address(name)} SET SCHEMA {ident(schema)}", self.lock(now))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        """Actions that undo what differs, where it is not made again. Names are those of the snapshot by then."""
        return iter(())

    def sql(self, text: str) -> str:
        """A statement as it is run: printed definitions in a form that survives being read."""
        return as_written(text)

    def action(self, then: Entry, *statements: str, **options: Any) -> Action:
        """An action of statements that lock what the kind's DDL locks."""
        lock = options.pop("lock", None)
        options.setdefault("rank", self.rank)
        options.setdefault("needs", tuple(ref for ref in then.depends if ref not in then.refs.get("parent", ())))
        return Action(
            then.ref,
            then.label,
            tuple(Statement(self.sql(text), self.lock(then) if lock is None else lock) for text in statements),
            **options,
        )
