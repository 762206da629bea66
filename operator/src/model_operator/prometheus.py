"""Prometheus: answers to instant queries. The only file that imports `prometheus_api_client`."""

import base64
import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import requests
import urllib3
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect
from typing_extensions import override

from model_operator.errors import PrometheusError

MOST_ANSWER_BYTES: Final = 4 * 2**20
"""Some ten thousand pods in a namespace; parsed, an answer needs several times its length."""
_CHUNK_BYTES: Final = 2**16
_OF_ONE_QUERY: Final = (400, 422)
"""HTTP statuses by which Prometheus refuses one query, whatever becomes of others."""


class Sample(NamedTuple):
    """One element of an instant vector."""

    labels: Mapping[str, str]
    value: float
    """Always finite."""


class Prometheus(Protocol):
    """What the operator asks of Prometheus; tests have one that answers from a table."""

    def query(self, query: str) -> Sequence[Sample]:
        """The finite values of an instant vector.

        Raises:
            PrometheusError: when there is no answer, or none that is a vector.
        """


@dataclass(frozen=True)
class Access:
    """How a Prometheus is reached that does not let everybody in.

    Attributes:
        folder: has any of the files `username` and `password`, `token`, `ca.crt`, `tls.crt` and `tls.key`, as a mounted
            Secret has; they are read anew for each question, so that what is rotated is used. None: nothing is needed.
        insecure: take any certificate, and send credentials over http as well.
    """

    folder: Path | None = None
    insecure: bool = False

    def read_header(self) -> str | None:
        """The value of the header `Authorization`; None where there are no credentials.

        Raises:
            PrometheusError: when they are not what can be sent; what they are is never told.
        """
        if self.folder is not None and not self.folder.is_dir():
            raise PrometheusError(f"{self.folder} does not exist: put there what Prometheus asks for")
        token, username, password = (self._read(name) for name in ("token", "username", "password"))
        if token is not None and (username is not None or password is not None):
            raise PrometheusError(f"{self.folder} holds a token and a password for Prometheus: leave one of them out")
        if token is not None:
            if not token.isascii() or not token.isprintable() or " " in token or not token:
                raise PrometheusError(
                    f"{self.folder}/token is no bearer token: it must be one line of ASCII characters"
                )
            return f"Bearer {token}"
        if username is None and password is None:
            return None
        if username is None or password is None or ":" in username:
            raise PrometheusError(f"{self.folder} needs a username without a colon, and a password, for Prometheus")
        return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"

    def find_authority(self) -> str | bool | None:
        """What the server's certificate is checked by: a file, False for nothing, None for what the machine trusts."""
        return False if self.insecure else self._find("ca.crt")

    def find_certificate(self) -> str | tuple[str, str] | None:
        """The client's own certificate and key."""
        certificate, key = self._find("tls.crt"), self._find("tls.key")
        return (certificate, key) if certificate and key else certificate

    def _find(self, name: str) -> str | None:
        return str(self.folder / name) if self.folder is not None and (self.folder / name).is_file() else None

    def _read(self, name: str) -> str | None:
        found = self._find(name)
        if found is None:
            return None
        try:
            return Path(found).read_text().rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            raise PrometheusError(f"{found} cannot be read: {type(error).__name__}") from None


class ApiPrometheus:
    """The HTTP API of one Prometheus, or of whatever speaks it. Safe to use from several threads."""

    def __init__(self, url: str, timeout_seconds: float, access: Access | None = None) -> None:
        """Connect when first used; an answer that takes longer than the time-out is none."""
        self._url = url.rstrip("/")
        self._seconds = timeout_seconds
        # What fails is asked again at the next look; retries here would hold up every other model. False: a time-out
        # is told as what it is.
        self._client = PrometheusConnect(
            self._url,
            retry=urllib3.Retry(0, read=False),
            session=_Session(self._url, timeout_seconds, access or Access()),
            timeout=timeout_seconds,
        )

    def query(self, query: str) -> Sequence[Sample]:
        """See `Prometheus`."""
        try:
            answer = self._client.custom_query(query, params={"timeout": f"{self._seconds:g}"})
            found = [_parse_sample(each) for each in answer]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise PrometheusError(f"the answer of {self._url} is not Prometheus': look at prometheusUrl") from error
        except (PrometheusApiClientException, OSError, urllib3.exceptions.HTTPError) as error:
            # Where a connection was made, an answer that is late says something of this query alone.
            late = isinstance(error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError)
            words = f"Prometheus at {self._url} does not answer: {_cause(error)}"
            raise PrometheusError(words, of_one_query=late) from error
        return [sample for sample in found if math.isfinite(sample.value)]


class _Session(requests.Session):
    """Asks one server, and reads no more of an answer than there is time and room for."""

    def __init__(self, url: str, timeout_seconds: float, access: Access) -> None:
        super().__init__()
        self._url = url
        self._seconds = timeout_seconds
        self._access = access
        if access.insecure:
            # It was asked for; a warning at each question would say nothing more.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    @override
    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As `requests` does it, with credentials, and in whole.

        Raises:
            PrometheusError: when the answer is no success, or is too slow or too long.
        """
        begun = time.monotonic()
        header = self._access.read_header()
        if header is not None:
            if not self._url.startswith("https://") and not self._access.insecure:
                raise PrometheusError(
                    f"credentials are not sent to {self._url} without TLS: use https, or allow it by prometheusInsecure"
                )
            request.headers["Authorization"] = header
        options |= {"cert": self._access.find_certificate(), "allow_redirects": False, "stream": True}
        authority = self._access.find_authority()
        if authority is not None:
            options["verify"] = authority
        response = super().send(request, **options)
        try:
            response.raw, raw = io.BytesIO(self._read_body(response, begun + self._seconds)), response.raw
            raw.release_conn()
        except BaseException:
            response.close()
            raise
        if response.status_code != requests.codes.ok:
            raise PrometheusError(
                f"Prometheus at {self._url} does not answer: {_format_refusal(response)}",
                of_one_query=response.status_code in _OF_ONE_QUERY,
            )
        return response

    def _read_body(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > MOST_ANSWER_BYTES:
                raise PrometheusError(
                    f"the answer of {self._url} is longer than {MOST_ANSWER_BYTES} bytes", of_one_query=True
                )
            if time.monotonic() > deadline:
                words = f"Prometheus at {self._url} needs more than {self._seconds:g} s for its answer"
                raise PrometheusError(words, of_one_query=True)
        return bytes(body)


def _parse_sample(element: Mapping[str, Any]) -> Sample:
    labels = {str(name): str(value) for name, value in element["metric"].items()}
    return Sample(labels, float(element["value"][1]))


def _format_refusal(response: requests.Response) -> str:
    """The HTTP status, and what Prometheus or whatever stands before it says."""
    try:
        words = str(response.json()["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        words = response.content[:200].decode(errors="replace").strip()
    return f"HTTP {response.status_code}: {' '.join(words.split())[:200]}"


def _cause(error: Exception) -> str:
    """The innermost cause, which says more than the layers around it."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return (str(inner) or type(inner).__name__)[:200]
