"""The one exception of this package."""


class MonitoringError(Exception):
    """Prometheus cannot be had; the message is one sentence with what to do."""
