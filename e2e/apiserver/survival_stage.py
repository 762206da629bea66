"""One namespace, its operator in a process of its own, and the proxy between that and the API server."""

import contextlib
import secrets
from pathlib import Path
from typing import Any, Self

from api_proxy import Answer, ApiProxy
from direct_cluster import DirectCluster
from forked_operator import ForkedOperator, Nursery
from model_life import Life
from survival_server import SurvivalServer

RESYNC_SECONDS = 5


class Stage:
    """`with Stage(server, nursery, folder) as stage:` has an operator run in a new namespace until the block ends.

    Attributes:
        cluster: the namespace, as users and controllers have it.
        proxy: what the operator takes for the API server.
        operator: the process.
        life: of the models in the namespace.
    """

    def __init__(self, server: SurvivalServer, nursery: Nursery, folder: Path, **settings: Any) -> None:
        """Set the operator up by its settings."""
        self.server = server
        self._nursery = nursery
        self._folder = folder
        self._settings = {"resync_seconds": RESYNC_SECONDS, **settings}
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Make the namespace and start the operator."""
        name = f"stage-{secrets.token_hex(4)}"
        self.cluster = DirectCluster(self.server, name)
        self._open.callback(self.cluster.close)
        self.cluster.make_namespace()
        self._open.callback(self.cluster.clear)
        self.life = Life(self.cluster)
        self.proxy = self._open.enter_context(ApiProxy(self.server.kubeconfig))
        self._token_file = self._folder / f"{name}.token"
        self._token_file.write_text(self.server.token)
        kubeconfig = self.proxy.write_kubeconfig(self._folder / f"{name}.kubeconfig", token_file=self._token_file)
        settings = {"watch_namespaces": name, **self._settings}
        self.operator = ForkedOperator(self._nursery, kubeconfig, self._folder / f"{name}.log", **settings)
        self._open.enter_context(self.operator)
        return self

    def expire_token(self) -> None:
        """No longer take the token that the operator began with, and end its watches."""
        self.proxy.rule = lambda asked: Answer(401) if asked.token == self.server.token else None
        self.proxy.cut_watches()

    def rotate_token(self) -> str:
        """Put a new token in the file that the operator's kubeconfig names, as a kubelet does; the token."""
        token = self.server.make_token()
        self._token_file.write_text(token)
        return token

    def replace_operator(self) -> None:
        """Kill the operator, and start another in its place, as a kubelet does."""
        self.operator.kill()
        self.operator.start()

    def __exit__(self, *_: object) -> None:
        """End the operator and delete the models."""
        self._open.close()
