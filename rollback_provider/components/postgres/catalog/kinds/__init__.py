"""Kinds of objects, one small file each.

To add one: subclass :class:`~rollback_provider.components.postgres.catalog.kinds.base.Kind` (or
:class:`~rollback_provider.components.postgres.catalog.kinds.defined.Defined`, where the definition is all), list it here, add cases to
``tests/components/fix/ddl`` and a line to the component's page.
"""

from __future__ import annotations

from rollback_provider.components.postgres.catalog.kinds.access_methods import AccessMethods
from rollback_provider.components.postgres.catalog.kinds.aggregates import Aggregates
from rollback_provider.components.postgres.catalog.kinds.base import Kind
from rollback_provider.components.postgres.catalog.kinds.casts import Casts
from rollback_provider.components.postgres.catalog.kinds.collations import Collations
from rollback_provider.components.postgres.catalog.kinds.columns import Columns
from rollback_provider.components.postgres.catalog.kinds.composites import Composites, Ranges
from rollback_provider.components.postgres.catalog.kinds.constraints import Constraints
from rollback_provider.components.postgres.catalog.kinds.conversions import Conversions
from rollback_provider.components.postgres.catalog.kinds.default_privileges import DefaultPrivileges
from rollback_provider.components.postgres.catalog.kinds.defaults import Defaults
from rollback_provider.components.postgres.catalog.kinds.domains import Domains
from rollback_provider.components.postgres.catalog.kinds.enums import Enums
from rollback_provider.components.postgres.catalog.kinds.event_triggers import EventTriggers
from rollback_provider.components.postgres.catalog.kinds.extensions import Extensions
from rollback_provider.components.postgres.catalog.kinds.foreign_data import (
    ForeignServers,
    ForeignWrappers,
    UserMappings,
)
from rollback_provider.components.postgres.catalog.kinds.functions import Functions
from rollback_provider.components.postgres.catalog.kinds.indexes import Indexes
from rollback_provider.components.postgres.catalog.kinds.languages import Languages, Transforms
from rollback_provider.components.postgres.catalog.kinds.operator_classes import OperatorClasses, OperatorFamilies
from rollback_provider.components.postgres.catalog.kinds.operators import Operators
from rollback_provider.components.postgres.catalog.kinds.publications import (
    Publications,
    PublishedSchemas,
    PublishedTables,
)
from rollback_provider.components.postgres.catalog.kinds.schemas import Schemas
from rollback_provider.components.postgres.catalog.kinds.sequences import Sequences
from rollback_provider.components.postgres.catalog.kinds.statistics import Statistics
from rollback_provider.components.postgres.catalog.kinds.tables import Tables
from rollback_provider.components.postgres.catalog.kinds.text_search import Configurations, Dictionaries
from rollback_provider.components.postgres.catalog.kinds.triggers import Policies, Rules, Triggers
from rollback_provider.components.postgres.catalog.kinds.views import MaterializedViews, Views
from rollback_provider.components.postgres.catalog.kinds.watched import WATCHED

_ALL: tuple[Kind, ...] = (
    Schemas(),
    Extensions(),
    Collations(),
    Enums(),
    Domains(),
    Composites(),
    Ranges(),
    Sequences(),
    Functions(),
    Aggregates(),
    Operators(),
    Casts(),
    AccessMethods(),
    OperatorFamilies(),
    OperatorClasses(),
    Languages(),
    Transforms(),
    Conversions(),
    Dictionaries(),
    Configurations(),
    ForeignWrappers(),
    ForeignServers(),
    UserMappings(),
    Tables(),
    Columns(),
    Defaults(),
    Constraints(),
    Indexes(),
    Views(),
    MaterializedViews(),
    Triggers(),
    Rules(),
    Policies(),
    Statistics(),
    Publications(),
    PublishedTables(),
    PublishedSchemas(),
    DefaultPrivileges(),
    EventTriggers(),
    *WATCHED,
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
"""All kinds by name."""
