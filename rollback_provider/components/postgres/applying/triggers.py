"""A table's own triggers, kept from firing while its rows go back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from psycopg import sql

from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table, name_of


class TriggersOff:
    """Keeps the table's own triggers from firing, and puts each back as it was, within the transaction.

    A restored row must be what it was: a trigger that sets ``updated_at`` would change it again.
    """

    _MODES: ClassVar[dict[str, str]] = {"O": "enable trigger", "A": "enable always trigger"}

    def __init__(self, session: Session, table: Table) -> None:
        self._session = session
        self._name = name_of(table)
        self._found: list[tuple[str, str]] = []

    def __enter__(self) -> None:
        """Disables them."""
        self._found = self._session.execute(
            "select tgname, tgenabled::text from pg_trigger where tgrelid = %s::regclass and not tgisinternal and tgenabled in ('O', 'A')",
            [self._name.as_string(self._session)],
        ).fetchall()
        self._alter(("disable trigger", name) for name, _ in self._found)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Puts each back; where the block failed, the transaction does."""
        if kind is None and self._found:
            self._session.execute("set constraints all immediate")  # a table with pending events cannot be altered
            self._alter((self._MODES[mode], name) for name, mode in self._found)

    def _alter(self, changes: Iterable[tuple[str, str]]) -> None:
        for change, name in changes:
            self._session.execute(
                sql.SQL("alter table only {} {} {}").format(self._name, sql.SQL(change), sql.Identifier(name))
            )
