"""Foreign-data wrappers, servers and user mappings. Foreign tables are tables."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_FOREIGN_SERVER,
    CLASS_FOREIGN_WRAPPER,
    CLASS_FUNCTION,
    CLASS_USER_MAPPING,
    Entry,
)
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.kinds.foreign_options import (
    FACTS,
    changed_options,
    options_of,
    with_options,
)
from rollback_provider.components.postgres.catalog.sql_text import (
    comment_on,
    function,
    grants_of,
    ident,
    literal,
    refs_to,
)

_ROUTINES = ("handler", "validator")


class ForeignWrappers(Kind):
    """Foreign-data wrappers that no extension brought along."""

    name = "foreign-data wrapper"
    classid = CLASS_FOREIGN_WRAPPER
    held_in = "pg_foreign_data_wrapper where oid >= 16384"
    keyword = acl = "FOREIGN DATA WRAPPER"
    naming = Naming.DATABASE
    rank = 57
    altered = frozenset({*_ROUTINES, *FACTS})

    def query(self, version: int) -> str:
        return f"""
            select w.oid, array[w.fdwname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(w.fdwowner), 'comment', comment.description,
                    'handler', {function("w.fdwhandler")}, 'validator', {function("w.fdwvalidator")}, {options_of("w.fdwoptions")},
                    {grants_of("w.fdwacl", "F", "w.fdwowner")})) as facts,
                {refs_to(handler=(CLASS_FUNCTION, "w.fdwhandler"), validator=(CLASS_FUNCTION, "w.fdwvalidator"))} as refs
            from pg_foreign_data_wrapper w {comment_on(CLASS_FOREIGN_WRAPPER, "w.oid")}"""

    def privileged(self, entry: Entry) -> bool:
        return True

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        routines = "".join(f" {fact.upper()} {then.facts[fact]}" for fact in _ROUTINES if fact in then.facts)
        yield self.action(then, f"CREATE {self.target(then)}{routines}{with_options(then, scene)}")

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        text = "".join(
            f" {fact.upper()} {then.facts[fact]}" if fact in then.facts else f" NO {fact.upper()}"
            for fact in _ROUTINES
            if not scene.same(then, now, fact)
        )
        text += changed_options(then, now, scene)
        if text:
            yield self.action(then, f"ALTER {self.target(then)}{text}", aspect="options")


class ForeignServers(Kind):
    """Foreign servers."""

    name = "foreign server"
    classid = CLASS_FOREIGN_SERVER
    held_in = "pg_foreign_server where oid >= 16384"
    keyword = "SERVER"
    acl = "FOREIGN SERVER"
    naming = Naming.DATABASE
    rank = 58
    altered = frozenset({"version", *FACTS})

    def query(self, version: int) -> str:
        return f"""
            select s.oid, array[s.srvname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(s.srvowner), 'comment', comment.description,
                    'wrapper', w.fdwname, 'type', s.srvtype, 'version', s.srvversion, {options_of("s.srvoptions")},
                    {grants_of("s.srvacl", "S", "s.srvowner")})) as facts,
                {refs_to(wrapper=(CLASS_FOREIGN_WRAPPER, "w.oid"))} as refs
            from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw {comment_on(CLASS_FOREIGN_SERVER, "s.oid")}"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        facts = then.facts
        text = "".join(f" {fact.upper()} {literal(facts[fact])}" for fact in ("type", "version") if fact in facts)
        text += f" FOREIGN DATA WRAPPER {ident(facts['wrapper'])}{with_options(then, scene)}"
        yield self.action(then, f"CREATE {self.target(then)}{text}")

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        text = ""
        if not scene.same(then, now, "version"):
            text = f" VERSION {literal(then.facts['version']) if 'version' in then.facts else 'NULL'}"
        text += changed_options(then, now, scene)
        if text:
            yield self.action(then, f"ALTER {self.target(then)}{text}", aspect="options")


class UserMappings(Kind):
    """User mappings. Their options can be read by a superuser, and by the server's owner and the user as far as they are theirs."""

    name = "user mapping"
    classid = CLASS_USER_MAPPING
    held_in = "pg_foreign_server where oid >= 16384"
    keyword = "USER MAPPING"
    rank = 59
    owned = False
    altered = FACTS

    def query(self, version: int) -> str:
        return f"""
            select u.umid as oid, array[u.srvname, u.usename] as name,
                json_strip_nulls(json_build_object({options_of("u.umoptions")})) as facts,
                json_build_object('readable', u.umoptions is not null or (select rolsuper from pg_roles where rolname = current_user)
                    or (u.umuser = 0 or u.usename = current_user) and pg_has_role(s.srvowner, 'usage')
                    or u.usename = current_user and has_server_privilege(s.oid, 'usage')) as extra
            from pg_user_mappings u join pg_foreign_server s on s.oid = u.srvid"""

    def target(self, entry: Entry) -> str:
        return f"USER MAPPING FOR {ident(entry.name[1])} SERVER {ident(entry.name[0])}"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        if not then.extra["readable"]:
            scene.refuse(
                f"{then.label} was dropped by the migration: its options could not be read when the snapshot was taken"
            )
        yield self.action(then, f"CREATE {self.target(then)}{with_options(then, scene)}")

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if text := changed_options(then, now, scene):
            yield self.action(then, f"ALTER {self.target(then)}{text}", aspect="options")
