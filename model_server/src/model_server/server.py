"""The life of the process: load, open the ports, serve, drain on a signal."""

import logging
import signal
import sys
import threading

from model_server.access_log import AccessLog
from model_server.artifact_folder import UnpackedArtifacts
from model_server.grpc_service import GrpcService
from model_server.http_service import HttpService
from model_server.loading import load_version
from model_server.metrics import Metrics
from model_server.predict import DataPlane
from model_server.repository import Repository
from model_server.rest_routes import RestRoutes
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
    with UnpackedArtifacts() as artifacts:
        models = settings.models
        repository = Repository(
            lambda name, version, folder: load_version(name, version, folder, settings.loading, data_plane),
            settings.polling,
            artifacts.resolve,
            load_threads=models.load_threads,
            labels_before_versions=models.labels_before_versions,
        )
        data_plane = DataPlane(repository, Metrics(repository))
        repository.start(models.load() or (), stop)
        if not stop.is_set():
            _serve(settings, repository, data_plane, stop)


def _serve(settings: Settings, repository: Repository, data_plane: DataPlane, stop: threading.Event) -> None:
    access_log = AccessLog(sys.stdout) if settings.access_log else None
    grpc_service = GrpcService(data_plane, settings.inference, settings.grpc, access_log)
    http_service = (
        HttpService(RestRoutes(data_plane, settings.inference, settings.rest), settings.rest, access_log)
        if settings.rest
        else None
    )
    grpc_service.start()
    try:
        if http_service is not None:
            http_service.start()
        repository.start_polling(settings.models.load, settings.models.file_poll_wait_seconds)
        _LOGGER.info(
            "serving: gRPC on port %d, REST on port %d",
            settings.grpc.port,
            settings.rest.port if settings.rest else 0,
        )
        stop.wait()
        _LOGGER.info("draining for up to %d seconds", DRAIN_SECONDS)
    finally:
        data_plane.drain()
        repository.stop_polling()
        _stop_services(grpc_service, http_service)
        if access_log is not None:
            access_log.close()


def _stop_services(grpc_service: GrpcService, http_service: HttpService | None) -> None:
    """Both at once, so that both have the whole grace."""
    if http_service is None:
        grpc_service.stop(DRAIN_SECONDS)
        return
    stopping = threading.Thread(target=http_service.stop, args=(DRAIN_SECONDS,), name="stop-http")
    stopping.start()
    grpc_service.stop(DRAIN_SECONDS)
    stopping.join()
