"""Names that are ours in a database, and how a soft-dropped object is known: by such a name, and by a record of what it was, its comment.

The record is in the database itself, on the object, so nothing that is soft-dropped can be forgotten.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime

PREFIX = "rollback_dropped_"
SNAPSHOT_SETTING = "rollback.snapshot"
"""A setting of the session that names the snapshot that was taken before the migration."""
TRACKING_SCHEMA = "rollback_tracking"
"""The schema that holds the log of a migration's writes while it is tracked; no part of what is under migration."""
_NAME_BYTES = 63
_RESERVED = re.compile(PREFIX + r"(\d+)_")
_KEY = "softDrop"


def marking(snapshot_id: str) -> str:
    """What ``PGOPTIONS``, or the option ``options`` of a connection, says in the sessions of a snapshot's migration."""
    return f"-c {SNAPSHOT_SETTING}={snapshot_id}"


def reserved(number: int, name: str) -> str:
    """The name of a soft-dropped object, as much of its own as there is room for.

    :param number: makes it unique: the object's oid, or for a column its attnum
    """
    head = f"{PREFIX}{number}_".encode()
    return (head + name.encode()[: _NAME_BYTES - len(head)]).decode(errors="ignore")


def number_in(name: str) -> int | None:
    """The number in a reserved name; None for any other name."""
    found = _RESERVED.match(name)
    return int(found[1]) if found else None


@dataclass(frozen=True)
class DropRecord:
    """What a soft-dropped table or column was.

    :param name: its own name
    :param time: when it was soft-dropped
    :param snapshot: id of the snapshot that was taken before the migration; None where the migration did not say
    :param comment: its own comment
    """

    name: str
    time: datetime
    snapshot: str | None
    comment: str | None

    def to_comment(self) -> str:
        """The text of the comment."""
        fields = {"name": self.name, "time": self.time.isoformat(), "snapshot": self.snapshot, "comment": self.comment}
        return json.dumps({_KEY: fields}, ensure_ascii=False)

    @classmethod
    def from_comment(cls, text: str) -> DropRecord | None:
        """The record that a comment holds; None where it is some other comment."""
        try:
            fields = json.loads(text)[_KEY]
            return cls(fields["name"], datetime.fromisoformat(fields["time"]), fields["snapshot"], fields["comment"])
        except (ValueError, TypeError, KeyError):
            return None
