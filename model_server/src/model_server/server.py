"""The life of the process: load, open the ports, serve, drain on a signal."""

import logging
import signal
import threading
from functools import partial

from model_server.grpc_service import GrpcService
from model_server.http_service import HttpService
from model_server.metrics import Metrics
from model_server.predict import DataPlane
from model_server.repository import Repository, ServedModel
from model_server.rest_routes import RestRoutes
from model_server.servable import load_servable
from model_server.settings import Settings

_LOGGER = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way at that moment are answered, for up to ten seconds.

    Raises:
        StartupError: The model cannot be loaded, or a port cannot be opened.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    load = partial(load_servable, settings=settings.engine)
    repository = Repository([ServedModel(settings.model_name, settings.model_base_path, load, settings.polling)])
    data_plane = DataPlane(repository, Metrics(repository.names))
    repository.load_first_versions(stop)
    if stop.is_set():
        return
    grpc_service = GrpcService(data_plane, settings.grpc)
    http_service = HttpService(RestRoutes(data_plane, settings.rest), settings.rest) if settings.rest else None
    grpc_service.start()
    try:
        if http_service is not None:
            http_service.start()
        repository.start_polling()
        _LOGGER.info(
            "serving %s: gRPC on port %d, REST on port %d",
            settings.model_name,
            settings.grpc.port,
            settings.rest.port if settings.rest else 0,
        )
        stop.wait()
        _LOGGER.info("draining for up to %d seconds", DRAIN_SECONDS)
    finally:
        data_plane.drain()
        repository.stop_polling()
        _stop_services(grpc_service, http_service)


def _stop_services(grpc_service: GrpcService, http_service: HttpService | None) -> None:
    """Both at once, so that both have the whole grace."""
    if http_service is None:
        grpc_service.stop(DRAIN_SECONDS)
        return
    stopping = threading.Thread(target=http_service.stop, args=(DRAIN_SECONDS,), name="stop-http")
    stopping.start()
    grpc_service.stop(DRAIN_SECONDS)
    stopping.join()
