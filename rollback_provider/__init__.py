"""Take a migration back safely: snapshot, generate, execute, verify, for Apache Airflow.

Importing this package costs nothing: it imports neither Airflow nor any client library.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
