import types

import pytest

from model_server.errors import StartupError
from model_server.grpc_core import check_core, cygrpc


def alter(name, value):
    """The core with one name that is another."""
    names = {each: getattr(cygrpc, each) for each in dir(cygrpc)}
    return types.SimpleNamespace(**{**names, name: value})


def test_the_core_that_is_installed_is_as_expected():
    check_core()


@pytest.mark.parametrize(
    ("core", "wrong"),
    [
        (None, "grpc._cython.cygrpc"),
        (alter("Server", object), "Server.register_completion_queue"),
        (alter("CompletionQueue", None), "CompletionQueue.poll"),
        (alter("SendMessageOperation", lambda message: message), "SendMessageOperation"),
        (
            types.SimpleNamespace(**{n: getattr(cygrpc, n) for n in dir(cygrpc) if n != "ReceiveMessageOperation"}),
            "ReceiveMessageOperation",
        ),
    ],
)
def test_another_core_is_refused_with_what_is_wrong(core, wrong):
    with pytest.raises(StartupError, match=f"^grpcio 1.99.0 .* since its {wrong} is not as expected: install "):
        check_core(core, "1.99.0")
