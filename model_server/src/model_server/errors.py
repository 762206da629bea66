"""What can go wrong, and what each wire says about it: every serving error holds both of its codes.

ModelServerError
|-- StartupError             the process cannot start: one sentence on stderr, exit code 255
|-- LoadError                a version cannot be served; it is never AVAILABLE
`-- ServingError             an answer to one request, with its HTTP and its gRPC code
    |-- InvalidArgumentError, FailedPreconditionError                     400
    |-- UnknownError, InternalError                                       500
    |-- NotFoundError                                                     404
    |-- ResourceExhaustedError                                            429
    |-- UnimplementedError                                                501
    |-- UnavailableError                                                  503
    `-- DeadlineExceededError                                             504
"""

from typing import ClassVar

from grpc import StatusCode

LONGEST_DETAILS = 1024


class ModelServerError(Exception):
    """The root of every error that this package raises."""


class StartupError(ModelServerError):
    """The server cannot start; the message names the flag or port and the remedy."""


class LoadError(ModelServerError):
    """A version folder cannot be served; the message says what is wrong in it."""


class ServingError(ModelServerError):
    """One request cannot be answered; the message goes to the client."""

    http: ClassVar[int] = 500
    grpc: ClassVar[StatusCode] = StatusCode.INTERNAL


class InvalidArgumentError(ServingError):
    """The request itself is wrong."""

    http = 400
    grpc = StatusCode.INVALID_ARGUMENT


class FailedPreconditionError(ServingError):
    """The model does not have what the request presumes."""

    http = 400
    grpc = StatusCode.FAILED_PRECONDITION


class UnknownError(ServingError):
    """Models did not become available."""

    grpc = StatusCode.UNKNOWN


class InternalError(ServingError):
    """The model is not made for what was asked."""


class NotFoundError(ServingError):
    """No such model or version."""

    http = 404
    grpc = StatusCode.NOT_FOUND


class ResourceExhaustedError(ServingError):
    """More requests at once than the server takes."""

    http = 429
    grpc = StatusCode.RESOURCE_EXHAUSTED


class UnimplementedError(ServingError):
    """A part of the protocol that this server does not have."""

    http = 501
    grpc = StatusCode.UNIMPLEMENTED


class UnavailableError(ServingError):
    """The version is going away."""

    http = 503
    grpc = StatusCode.UNAVAILABLE


class DeadlineExceededError(ServingError):
    """No interpreter became free within the request's time."""

    http = 504
    grpc = StatusCode.DEADLINE_EXCEEDED


def format_details(message: str) -> str:
    """The message as gRPC details: cut after 1024 characters, as TensorFlow Serving cuts it."""
    return message if len(message) <= LONGEST_DETAILS else message[:LONGEST_DETAILS] + "...TRUNCATED"
