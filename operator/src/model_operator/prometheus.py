"""Prometheus: answers to instant queries. The only file that imports `prometheus_api_client`."""

import math
from collections.abc import Mapping
from typing import Protocol

import requests
import urllib3
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect

from model_operator.errors import PrometheusError


class Prometheus(Protocol):
    """What the operator asks of Prometheus; tests have one that answers from a table."""

    def query(self, query: str) -> Mapping[str, float]:
        """The finite values of an instant vector by their `pod` label, which is empty for a sum.

        Raises:
            PrometheusError: when there is no answer, or none that is a vector.
        """


class ApiPrometheus:
    """The HTTP API of one Prometheus, or of whatever speaks it. Safe to use from several threads."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """Connect when first used; an answer that takes longer than the timeout is none."""
        self._url = url.rstrip("/")
        # What fails is asked again at the next look; retries here would hold up every other model.
        self._client = PrometheusConnect(self._url, retry=urllib3.Retry(0), timeout=timeout_seconds)

    def query(self, query: str) -> Mapping[str, float]:
        """See `Prometheus`."""
        try:
            answer = self._client.custom_query(query)
            found = {each["metric"].get("pod", ""): float(each["value"][1]) for each in answer}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise PrometheusError(f"the answer of {self._url} is not Prometheus': look at prometheusUrl") from error
        except (PrometheusApiClientException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise PrometheusError(f"Prometheus at {self._url} does not answer: {_cause(error)}") from error
        return {pod: value for pod, value in found.items() if math.isfinite(value)}


def _cause(error: Exception) -> str:
    """The innermost cause, which says more than the layers around it."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return (str(inner) or type(inner).__name__)[:200]
