"""Databases that are made for a rehearsal and dropped after it, on a server that is given or on one of our own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors as pg
from psycopg import sql

from rollback_provider.clients.postgres import conninfo
from rollback_provider.components.postgres.session import (
    Session,
    fix_settings,
    identity_of,
    mapped,
    open_session,
)
from rollback_provider.components.postgres.tables import Table, name_of
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    LockedError,
    PermissionDeniedError,
)

MARK = "made by rollback-provider for a rehearsal, and dropped after it"
"""Comment on each database that is ours: one that a killed worker has left behind is known by it, and made anew."""
_LOCK_CLASS = 0x72656865
_SETTLED = "The original was not reached; nothing was changed"
_CONTENT = """
    select quote_ident(n.nspname) || '.' || quote_ident(name) from (
        select relnamespace, relname, oid, 'pg_class'::regclass from pg_class where relkind not in ('i', 'I', 't')
        union all select pronamespace, proname, oid, 'pg_proc'::regclass from pg_proc
        union all select typnamespace, typname, oid, 'pg_type'::regclass from pg_type
    ) found(namespace, name, oid, class) join pg_namespace n on n.oid = namespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and not exists (select from pg_depend d where (d.classid, d.objid, d.deptype) = (found.class, found.oid, 'e'))
    union all select quote_ident(nspname) from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')
    limit 1"""


@dataclass(frozen=True)
class Scratch:
    """A server on which databases may be made.

    :param connection: leads there; its ``schema`` names the database that is made
    :param own: the server was started for this rehearsal
    """

    component: str
    connection: Connection
    own: bool = False

    @property
    def name(self) -> str:
        """Of the database from which all copies are made."""
        assert self.connection.schema  # noqa: S101  checked when it was reserved
        return self.connection.schema

    def to(self, database: str) -> Connection:
        """Leads to a database of this server."""
        return replace(self.connection, schema=database)

    def session(self, database: str) -> Session:
        """A session there, as an administrator has one: with the user's own settings."""
        return open_session(conninfo(self.to(database)), self.component, fixed=False)

    @contextmanager
    def database(self, name: str, *, template: str = "template0") -> Iterator[None]:
        """A database that is there within this context; one that was left behind is made anew."""
        with self._administering() as session:
            self._drop(session, name)
            create = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
            session.execute(create)
            session.execute(sql.SQL("comment on database {} is {}").format(sql.Identifier(name), MARK))
        try:
            yield
        finally:
            with self._administering() as session:
                self._drop(session, name)

    @contextmanager
    def reserved(self, original: str) -> Iterator[None]:
        """The name is ours alone within this context.

        :param original: identity of the database that is rehearsed, which is refused

        Raises ConfigurationError where there is a database of this name that holds anything or is the original, PermissionDeniedError
        without CREATEDB, and LockedError where another rehearsal uses it.
        """
        if not self.connection.schema:
            raise ConfigurationError(
                f"Connection {self.connection.id!r} names no database",
                component=self.component,
                state=_SETTLED,
                next_step="Name in its schema the database that is to be made for the rehearsal, and dropped after it",
            )
        session = self._administrator()
        try:
            with mapped(self.component, _SETTLED):
                self._reserve(session, original)
            yield
        finally:
            session.close()

    def _reserve(self, session: Session, original: str) -> None:
        held = session.execute("select pg_try_advisory_lock(%s, hashtext(%s))", [_LOCK_CLASS, self.name]).fetchone()
        if not held or not held[0]:
            raise LockedError(
                f"Another rehearsal uses database {self.name!r}",
                component=self.component,
                state=_SETTLED,
                next_step="Wait until it has ended, or name another database",
            )
        self._refuse_unprivileged(session)
        self._refuse_used(session, original)

    def _refuse_unprivileged(self, session: Session) -> None:
        row = session.execute(
            "select current_user, rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        ).fetchone()
        if row and not row[1]:
            raise PermissionDeniedError(
                f"Role {row[0]} may not make databases",
                component=self.component,
                state=_SETTLED,
                next_step=f"As a superuser: ALTER ROLE {row[0]} CREATEDB",
            )

    def _refuse_used(self, session: Session, original: str) -> None:
        row = session.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [self.name]
        ).fetchone()
        if row is None or row[0] == MARK:
            return
        with self.session(self.name) as there:
            found = there.execute(_CONTENT).fetchone()
            same = identity_of(there) == original
        if found or same:
            what = "is the original" if same else f"is not empty: it holds {found[0] if found else ''}"
            raise ConfigurationError(
                f"Database {self.name!r} {what}",
                component=self.component,
                state="It was not touched",
                next_step="Name a database that does not exist: it is made for the rehearsal, and dropped after it",
            )

    @contextmanager
    def _administering(self) -> Iterator[Session]:
        """A session in a database that is always there."""
        with mapped(self.component, _SETTLED):
            session = self._administrator()
            try:
                yield session
            finally:
                session.close()

    def _administrator(self) -> Session:
        try:
            return self.session("postgres")
        except ComponentUnavailableError:
            return self.session("template1")

    def _drop(self, session: Session, name: str) -> None:
        session.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def roles_of(session: Session) -> tuple[frozenset[str], frozenset[str]]:
    """Roles of the server, and those of them whose objects the session's role may make."""
    rows = session.execute("select rolname, pg_has_role(oid, 'member') from pg_roles").fetchall()
    return frozenset(name for name, _ in rows), frozenset(name for name, member in rows if member)


def count_rows(session: Session, tables: Iterable[Table]) -> int:
    """Rows of these tables together."""
    counts = (sql.SQL("(select count(*) from only {})").format(name_of(table)) for table in tables)
    row = session.execute(sql.SQL("select {}").format(sql.SQL(" + ").join([sql.SQL("0"), *counts]))).fetchone()
    return int(row[0]) if row else 0


def make_roles(session: Session, names: frozenset[str]) -> None:
    """Makes roles that nobody can log in as."""
    for name in sorted(names):
        with suppress(pg.DuplicateObject):
            session.execute(sql.SQL("create role {}").format(sql.Identifier(name)))


def fixed(scratch: Scratch, database: str) -> Session:
    """A session with our settings."""
    session = scratch.session(database)
    fix_settings(session)
    return session


def version_of(session: psycopg.Connection[tuple[object, ...]]) -> str:
    """Of the server: ``PostgreSQL 18.1``."""
    row = session.execute("select 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)").fetchone()
    return str(row[0]) if row else ""
