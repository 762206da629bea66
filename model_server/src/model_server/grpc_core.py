"""The layer under grpcio's own servers, which is no public interface, and whether it is as `grpc_calls` expects it."""

from typing import Any

import grpc

from model_server.errors import StartupError

try:
    from grpc._cython import cygrpc as _core  # type: ignore[attr-defined]
except ImportError:
    _core = None

cygrpc: Any = _core

_SERVER = ("register_completion_queue", "add_http2_port", "start", "request_call", "shutdown", "cancel_all_calls")
_NAMES = {
    "Server": (*_SERVER, "destroy"),
    "CompletionQueue": ("poll",),
    "CompletionType": ("queue_timeout",),
}
# As they are built for every call.
_OPERATIONS: dict[str, tuple[object, ...]] = {
    "SendInitialMetadataOperation": (None, 0),
    "SendMessageOperation": (b"", 0),
    "SendStatusFromServerOperation": (None, 0, b"", 0),
    "ReceiveMessageOperation": (0,),
    "ReceiveCloseOnServerOperation": (0,),
}


def check_core(core: Any = cygrpc, version: str = grpc.__version__) -> None:
    """Refuse a grpcio whose core is another one, before any client could meet it.

    Raises:
        StartupError: What is missing, or is called in another way.
    """
    wrong = "grpc._cython.cygrpc" if core is None else _find_wrong(core)
    if wrong:
        raise StartupError(
            f"grpcio {version} cannot be served with, since its {wrong} is not as expected: install a version within"
            " the range that the package modelpress-server requires."
        )


def _find_wrong(core: Any) -> str:
    for name, parts in _NAMES.items():
        for part in parts:
            if not hasattr(getattr(core, name, None), part):
                return f"{name}.{part}"
    for name, arguments in _OPERATIONS.items():
        try:
            getattr(core, name)(*arguments)
        except (AttributeError, TypeError):
            return name
    return ""
