"""Systems that are a set of named resources: the servers of a load balancer, the records of a zone, flags, files, releases.

Most of what a migration changes beside a database has this shape: each resource has an address and some fields, few enough to be read as a
whole. Such a component is a subclass of :class:`ResourceComponent` that says how its resources are read and written; the three-way merge,
plan, journal, verification and undoing are the same for all.
"""

from rollback_provider.resources.checks import make_check
from rollback_provider.resources.component import ResourceComponent
from rollback_provider.resources.options import Options, parse_options, require_connection
from rollback_provider.resources.state import Change, Digests, Fields, MovedError, State, load_state
from rollback_provider.resources.writing import Batch

__all__ = [
    "Batch",
    "Change",
    "Digests",
    "Fields",
    "MovedError",
    "Options",
    "ResourceComponent",
    "State",
    "load_state",
    "make_check",
    "parse_options",
    "require_connection",
]
