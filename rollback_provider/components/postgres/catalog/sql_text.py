"""SQL text: quoting for statements, and pieces that the kinds' queries share."""

from __future__ import annotations

import re
from collections.abc import Iterable

from psycopg import sql


def ident(*names: str) -> str:
    """A name, qualified where several are given, each part quoted."""
    return sql.Identifier(*names).as_string(None)


def idents(names: Iterable[str]) -> str:
    """A list of names, each quoted."""
    return ", ".join(ident(name) for name in names)


def literal(value: str) -> str:
    """A string literal."""
    return sql.Literal(value).as_string(None).strip()


_VARCHAR = r"'(?:[^']|'')*'::character varying"
_VARCHARS_AS_TEXT = re.compile(rf"\(\((ARRAY\[{_VARCHAR}(?:, {_VARCHAR})*\])\)::text\[\]\)")


def as_written(definition: str) -> str:
    """A definition as the server prints it, changed so that the server, once it has read it, prints it like that again.

    ``v IN ('a', 'b')`` on a varchar column is printed as ``(v)::text = ANY ((ARRAY['a'::character varying, …])::text[])``. Read again, the
    cast moves to each element; without the cast it is the original expression.
    """
    return _VARCHARS_AS_TEXT.sub(r"(\1)", definition)


def grants_of(acl: str, kind: str, owner: str) -> str:
    """Facts ``grants`` and ``revokes`` for json_build_object: what an ACL allows beyond, and less than, the kind's default.

    :param acl: SQL expression of the ACL
    :param kind: the kind as acldefault() wants it
    :param owner: SQL expression of the owner's oid
    """
    default = f"acldefault('{kind}', {owner})"
    here, usual = privileges_in(acl), privileges_in(default)
    return (
        f"'grants', case when {acl} is not null then ({listed(f'{here} except {usual}')}) end, "
        f"'revokes', case when {acl} is not null then ({listed(f'{usual} except {here}')}) end"
    )


def privileges_in(acl: str) -> str:
    """A query for what an ACL allows; PUBLIC is the empty name."""
    who = "case grantee when 0 then '' else pg_get_userbyid(grantee) end"
    return f"select {who} as who, privilege_type as what, is_grantable as again from aclexplode({acl})"  # noqa: S608


def listed(privileges: str) -> str:
    """A query that gives privileges as one JSON array, null where there are none."""
    return f"select json_agg(json_build_array(who, what, again) order by who, what, again) from ({privileges}) as acl_items"  # noqa: S608


def stored(expression: str) -> str:
    """Hash of a stored form, without the places in the source text that it remembers."""
    return f"md5(regexp_replace(({expression})::text, ' :[a-z_]*(location|stmt_len|list_start|list_end) -?[0-9]+', '', 'g'))"


def stored_row(alias: str, *without: str) -> str:
    """Hash of a catalog row without some of its columns; the same in every version that has the same columns."""
    names = ", ".join(f"'{name}'" for name in ("oid", *without))
    return stored(f"to_jsonb({alias}) - array[{names}]")


def stored_values(*expressions: str) -> str:
    """Hash of values. A function has to be given as its oid: rows print it by name."""
    return stored(f"jsonb_build_array({', '.join(expressions)})")


def function(column: str) -> str:
    """Name of a function that a system catalog names, null where it names none."""
    return f"nullif({column}::oid, 0)::regproc::text"


def operator(column: str) -> str:
    """Name of an operator, as a definition takes it, null for none."""
    return (
        "(select format('OPERATOR(%%I.%%s)', nspname, oprname) from pg_operator named "  # noqa: S608
        f"join pg_namespace on pg_namespace.oid = oprnamespace where named.oid = {column})"
    )


def refs_to(**targets: tuple[int, str]) -> str:
    """Refs of facts that name one object each, by its class and an SQL expression of its oid, 0 or null for none."""
    items = (
        f"'{fact}', case when {oid} <> 0 then json_build_array(json_build_array({classid}, {oid}, 0)) end"
        for fact, (classid, oid) in targets.items()
    )
    return f"json_strip_nulls(json_build_object({', '.join(items)}))"


def comment_on(classid: int, oid: str, sub: str = "0") -> str:
    """A left join of pg_description as ``comment``."""
    return f"left join pg_description comment on comment.classoid = {classid} and comment.objoid = {oid} and comment.objsubid = {sub}"
