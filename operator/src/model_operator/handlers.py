"""kopf's side: what is watched, and whom it is told. The only file besides `__main__` that imports kopf.

Only raw events are taken: no handler of kopf's that would write annotations or finalizers, no timer, no daemon.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

import kopf

from model_operator import names
from model_operator.kube import OUR_LABEL
from model_operator.service import Service

# Group, version and plural; all but the models are watched by our label, so that nothing else crosses the wire.
CHILDREN: Final = (
    ("apps", "v1", "deployments"),
    ("", "v1", "services"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("batch", "v1", "jobs"),
    ("", "v1", "configmaps"),
    ("", "v1", "pods"),
)


WATCH_SECONDS: Final = 300
WATCHES_A_SECOND: Final = 0.2
"""That begin anew, when nothing happens."""
LIST_CHUNK: Final = 50
IDLE_SECONDS: Final = 0.05


_LONGEST_PAUSE_SECONDS: Final = 15.0


def build_registry(service: Service, scopes: int = 1) -> kopf.OperatorRegistry:
    """The handlers that start, feed and stop the service, in a registry of their own.

    Args:
        service: that is told.
        scopes: namespaces that are watched one by one; 1 when all are at once.
    """
    registry = kopf.OperatorRegistry()
    # Called again whenever the API server no longer takes a token, which reads the rotated one.
    kopf.on.login(registry=registry)(kopf.login_via_client)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings, scopes)
        service.start()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await service.stop()

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def model_event(event: Any, **_: Any) -> None:
        service.note_model(event["object"], deleted=event["type"] == "DELETED")

    for group, version, plural in CHILDREN:

        @kopf.on.event(group, version, plural, registry=registry, id=f"child-{plural}")
        async def child_event(event: Any, **_: Any) -> None:
            service.note_child(event["object"], deleted=event["type"] == "DELETED", listed=event["type"] is None)

    return registry


class Patience:
    """The seconds between tries of one request to the API server: more and more, and never an end.

    Where tries end, kopf's watch of that kind ends as well, and its operator lives on without it.
    """

    def __iter__(self) -> Iterator[float]:
        """Begin anew."""
        return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(_LONGEST_PAUSE_SECONDS))


def configure(settings: kopf.OperatorSettings, scopes: int = 1) -> None:
    """Set kopf up: one operator, no events of its own, watches that end and begin anew before they can stall.

    Args:
        settings: of kopf.
        scopes: namespaces that are watched one by one; of many, watches last longer, so that few begin anew at a time.
    """
    watch_seconds = max(WATCH_SECONDS, math.ceil(scopes * (len(CHILDREN) + 1) / WATCHES_A_SECOND))
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Patience()
    settings.networking.enforce_retry_after = True
    settings.watching.server_timeout = watch_seconds
    settings.watching.client_timeout = watch_seconds + 10
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1
    # kopf keeps a task and the whole object for each of a list's objects until it has been idle for this long, and
    # lists all kinds at once: small pieces that go soon are what keeps its memory small.
    settings.watching.chunk_size = LIST_CHUNK
    settings.queueing.idle_timeout = IDLE_SECONDS
    settings.queueing.exit_timeout = 1
    settings.queueing.error_delays = (1, 2, 4, 8, 15, 30, 60)
    settings.process.ultimate_exiting_timeout = 8
    for group, version, plural in CHILDREN:
        settings.watching.label_selectors[group, version, plural] = OUR_LABEL
