"""Errors of the operator.

ModelOperatorError
├── InvalidModelError   a CompressedModel that cannot be obeyed, and what its author must change
├── GenerationError     a type that a CRD cannot express, or a folder that cannot take the generated files
├── ClusterError        the API server could not do it now; the same request may succeed later
│   └── TokenError      the API server does not know the operator any more
├── RefusedError        the API server will not take this request as it is
├── SettingsError       an environment variable that the operator cannot be run with
├── RightsError         what this operator may not do, or what its cluster lacks, found at its start
└── PrometheusError     Prometheus cannot be asked, or its answer cannot be read
"""


class ModelOperatorError(Exception):
    """Root of what the operator raises; the message is one sentence."""


class InvalidModelError(ModelOperatorError):
    """The object breaks the API: retrying is useless until its author changes the field that the message names."""


class GenerationError(ModelOperatorError):
    """The CRD or the reference page cannot be generated; the message names the field or the folder."""


class ClusterError(ModelOperatorError):
    """The API server could not do it now.

    Attributes:
        retry_after_seconds: what the server asked for; None where it named no time.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TokenError(ClusterError):
    """The API server does not take the operator's token, nor the one that its file holds now."""


class RefusedError(ModelOperatorError):
    """The API server will not take this request as it is; the message is in the server's words.

    Attributes:
        invalid: True for 400 and 422, where the same request would be refused again whatever the rights and quotas.
    """

    def __init__(self, message: str, *, invalid: bool) -> None:
        super().__init__(message)
        self.invalid = invalid


class SettingsError(ModelOperatorError):
    """An environment variable that the operator cannot be run with; the message names it and what is allowed."""


class RightsError(ModelOperatorError):
    """The operator cannot work in this cluster; the message has one sentence a line, each with what to do."""


class PrometheusError(ModelOperatorError):
    """Prometheus cannot be asked, or its answer cannot be read; the message names the address and the cause.

    Attributes:
        of_one_query: True where this query failed, and another one is worth asking.
    """

    def __init__(self, message: str, *, of_one_query: bool = False) -> None:
        super().__init__(message)
        self.of_one_query = of_one_query
