"""Airflow's connections and task log, as the rest of the package wants them."""
