"""Probes: numbers measured at a running system, by SQL, HTTP or Prometheus. Declared as JSON; knows core and clients alone."""

from rollback_provider.probes.condition import Condition, Verdict, parse_conditions
from rollback_provider.probes.declared import HttpProbe, Probe, PrometheusProbe, SqlProbe, parse_probe
from rollback_provider.probes.measuring import Measurement, measure, measure_now

__all__ = [
    "Condition",
    "HttpProbe",
    "Measurement",
    "Probe",
    "PrometheusProbe",
    "SqlProbe",
    "Verdict",
    "measure",
    "measure_now",
    "parse_conditions",
    "parse_probe",
]
