"""``rollbackctl`` and ``airflow rollback``: the same core without a scheduler, for the night Airflow is down.

Exit codes: see :mod:`rollback_provider.cli.exits`. With ``--json`` standard output holds one JSON document and nothing else; what people
read meanwhile goes to standard error. An error is one line there, ``error: …``.
"""

from rollback_provider.cli.run import main

__all__ = ["main"]
