"""The domain: records, the component protocol, planning, execution, verification.

Nothing below this package imports Airflow, a client library or the store's implementation.
"""
