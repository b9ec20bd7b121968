"""Privileges that a role lacks: each problem in words, and the GRANTs that cure it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table

_SHOWN = 20
_SET_OPTION = 160000
"""From this version on a member may be denied to become the role."""
_WRITES = ("select", "insert", "update", "delete")


class Missing:
    """Asks the server what the current role may do, and collects what it may not."""

    def __init__(self, session: Session) -> None:
        self._session = session
        row = session.execute(
            "select current_user::regrole::text, datname, pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        ).fetchone()
        assert row is not None  # noqa: S101  the database is there
        self._role, self._database, self._database_owner = row
        self.problems: list[str] = []
        self.grants: dict[str, None] = {}

    def owners(self, objects: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Objects by label, with the roles one of which the role has to be, or to be a member of."""
        mine = self._roles({owner for _, owners in objects for owner in owners}, "usage")
        found = [(label, owners[0]) for label, owners in objects if not mine.intersection(owners)]
        self._add(
            "Only their owner can change back",
            [label for label, _ in found],
            self._memberships(owner for _, owner in found),
        )

    def giving(self, objects: Sequence[tuple[str, str, str]]) -> None:
        """Objects by label, with the role that they are given to, and their schema, in which that role has to be allowed to create.

        A superuser gives anything to anybody.
        """
        how = "set" if self._session.info.server_version >= _SET_OPTION else "member"
        mine = self._roles({owner for _, owner, _ in objects}, how)
        found = [(label, owner) for label, owner, _ in objects if owner not in mine]
        self._add(
            "To give them back to their owner one has to be a member of that role",
            [label for label, _ in found],
            self._memberships(owner for _, owner in found),
        )
        places = {(owner, schema) for _, owner, schema in objects if schema}
        barred = self._session.execute(
            "select r.rolname, n.nspname from unnest(%s::text[], %s::text[]) x (role, schema) join pg_roles r on r.rolname = x.role"
            " join pg_namespace n on n.nspname = x.schema where not has_schema_privilege(r.oid, n.oid, 'create')"
            " and not (select rolsuper from pg_roles where rolname = current_user)",
            [[owner for owner, _ in places], [schema for _, schema in places]],
        ).fetchall()
        self._add(
            "Their owner may not have them in that schema",
            [label for label, owner, schema in objects if (owner, schema) in barred],
            [f"GRANT CREATE ON SCHEMA {self._quoted(schema)} TO {self._quoted(owner)}" for owner, schema in barred],
        )

    def creating(self, objects: Sequence[tuple[str, str]]) -> None:
        """Objects by label, with the schema in which they are made; the database where that is empty."""
        schemas = [schema for _, schema in objects if schema]
        rows = self._session.execute(
            "select n.nspname from pg_namespace n where n.nspname = any(%s::text[]) and not has_schema_privilege(n.oid, 'create')"
            " union all select '' where not has_database_privilege(current_database(), 'create')",
            [schemas],
        ).fetchall()
        barred = {schema for (schema,) in rows}
        found = [(label, schema) for label, schema in objects if schema in barred]
        places = [
            f"SCHEMA {self._quoted(schema)}" if schema else f"DATABASE {self._quoted(self._database)}"
            for schema in dict.fromkeys(schema for _, schema in found)
        ]
        self._add(
            "Not allowed to make",
            [label for label, _ in found],
            [f"GRANT CREATE ON {place} TO {self._role}" for place in places],
        )

    def referring(self, keys: Sequence[tuple[str, tuple[str, str]]]) -> None:
        """Foreign keys by label, with the table that they refer to."""
        barred = self._barred([ident(*table) for _, table in keys], "references")
        found = [(label, table) for label, table in keys if ident(*table) in barred]
        self._add(
            "Not allowed to refer to other tables with",
            [label for label, _ in found],
            [f"GRANT REFERENCES ON {self._quoted(*table)} TO {self._role}" for _, table in found],
        )

    def writing(self, tables: Sequence[Table]) -> None:
        """Tables whose rows are written."""
        names = {ident(table.schema, table.name): table for table in tables}
        barred = [n for n in names if n in {b for p in _WRITES for b in self._barred(list(names), p)}]
        self._add(
            "Not allowed to write rows of",
            [f"table {names[name].scope}" for name in barred],
            [
                f"GRANT {', '.join(_WRITES).upper()} ON {self._quoted(names[name].schema, names[name].name)} TO {self._role}"
                for name in barred
            ],
        )

    def owning(self, tables: Sequence[Table]) -> None:
        """Tables whose triggers are kept from firing, or that are locked."""
        rows = self._session.execute(
            "select c.oid, pg_get_userbyid(c.relowner) from pg_class c where c.oid = any(%s::oid[])",
            [[t.oid for t in tables]],
        ).fetchall()
        owners: dict[int, str] = dict(rows)
        self.owners([(f"table {table.scope}", (owners[table.oid],)) for table in tables if table.oid in owners])

    def setting(self, sequences: Sequence[str]) -> None:
        """Sequences, by name as SQL, that are set."""
        rows = self._session.execute(
            "select x.name from unnest(%s::text[]) x (name) where to_regclass(x.name) is not null"
            " and not has_sequence_privilege(to_regclass(x.name), 'update')",
            [list(sequences)],
        ).fetchall()
        barred = [name for (name,) in rows]
        self._add(
            "Not allowed to set sequences",
            barred,
            [f"GRANT UPDATE ON SEQUENCE {name} TO {self._role}" for name in barred],
        )

    def _memberships(self, owners: Iterable[str]) -> list[str]:
        """The GRANTs that make the role a member of others. Nobody can be made one of `pg_database_owner`, but of who that is."""
        roles = dict.fromkeys(self._database_owner if owner == "pg_database_owner" else owner for owner in owners)
        return [f"GRANT {self._quoted(role)} TO {self._role}" for role in roles]

    def _roles(self, roles: set[str], how: str) -> set[str]:
        """Those of the roles that the current one is, or is a member of."""
        rows = self._session.execute(
            "select rolname from pg_roles where rolname = any(%s::text[]) and pg_has_role(oid, %s)", [list(roles), how]
        ).fetchall()
        return {name for (name,) in rows}

    def _barred(self, tables: Sequence[str], privilege: str) -> set[str]:
        """Those of the tables, by name as SQL, on which the role lacks a privilege."""
        rows = self._session.execute(
            "select x.name from unnest(%s::text[]) x (name) where to_regclass(x.name) is not null"
            " and not has_table_privilege(to_regclass(x.name), %s)",
            [list(tables), privilege],
        ).fetchall()
        return {name for (name,) in rows}

    def _quoted(self, *names: str) -> str:
        """A name as a person would write it: quoted only where it must be."""
        row = self._session.execute(
            "select string_agg(quote_ident(x.name), '.' order by x.i) from unnest(%s::text[]) with ordinality x (name, i)",
            [list(names)],
        ).fetchone()
        return str(row[0]) if row else ident(*names)

    def _add(self, problem: str, labels: Sequence[str], grants: Sequence[str]) -> None:
        if labels:
            self.problems.append(f"{problem}: {some(sorted(set(labels)))}")
            self.grants |= dict.fromkeys(grants)


def some(names: Sequence[str], separator: str = ", ") -> str:
    """Names in a row, not too many."""
    more = len(names) - _SHOWN
    return separator.join(names[:_SHOWN]) + (f"{separator}and {more} more" if more > 0 else "")
