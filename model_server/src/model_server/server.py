"""The life of the process: load, open the ports, serve, drain on a signal."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from model_server.access_log import AccessLog
from model_server.artifact_folder import UnpackedArtifacts
from model_server.grpc_core import check_core
from model_server.grpc_service import GrpcService
from model_server.http_service import HttpService
from model_server.loading import load_version
from model_server.memory_limit import plan_request_limits, read_memory_left
from model_server.metrics import Metrics
from model_server.predict import DataPlane
from model_server.repository import Repository
from model_server.rest_routes import RestRoutes
from model_server.settings import Settings

_LOGGER = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
# How late a signal during the start is obeyed, and for how long what is being loaded is waited for then.
_LOOK_SECONDS = 0.05
_LEAVE_SECONDS = 1.0


def hear_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Call it from the main thread.

    A thread of its own waits for the byte that Python's handler in C writes at once. A handler in Python would not do:
    it runs in the main thread, which does not run while it waits for the event. What wakes it is the signal itself, but
    not when that comes just before the wait begins, nor when another thread receives it.
    """
    stop = threading.Event()
    reader, writer = os.pipe()

    def listen() -> None:
        os.read(reader, 1)
        stop.set()

    threading.Thread(target=listen, name="signals", daemon=True).start()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return stop


class _Start:
    """Loads the models on a thread of its own, which the end of the process need not wait for.

    There an artifact is fetched and unpacked, by code that knows of no signal.
    """

    def __init__(self, load: Callable[[], None], stop: threading.Event) -> None:
        self._load = load
        self._stop = stop
        self._result: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="start", daemon=True)

    def run(self) -> None:
        """Return when the models are loaded, or soon after `stop` is set.

        Raises:
            StartupError: They cannot be loaded.
        """
        self._thread.start()
        while not self._stop.is_set() and not self._result.done():
            wait([self._result], _LOOK_SECONDS)
        wait([self._result], _LEAVE_SECONDS)
        if self._result.done():
            self._result.result()

    def leave(self) -> None:
        """End the process if it still loads: the interpreter's own end would pull away what that thread works on."""
        if self._thread.is_alive():
            logging.shutdown()
            os._exit(0)

    def _run(self) -> None:
        try:
            self._load()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            self._result.set_exception(error)
        else:
            self._result.set_result(None)


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way at that moment are answered, for up to ten seconds.

    Raises:
        StartupError: The model cannot be loaded, or a port cannot be opened.
    """
    check_core()
    stop = hear_signals()
    with UnpackedArtifacts() as artifacts:
        models = settings.models
        repository = Repository(
            lambda name, version, folder: load_version(name, version, folder, settings.loading, data_plane),
            settings.polling,
            artifacts,
            load_threads=models.load_threads,
            labels_before_versions=models.labels_before_versions,
        )
        data_plane = DataPlane(repository, Metrics(repository))
        configs = models.load() or ()
        start = _Start(lambda: repository.start(configs, stop), stop)
        start.run()
        if not stop.is_set():
            _serve(settings, repository, data_plane, stop)
    start.leave()


def _serve(settings: Settings, repository: Repository, data_plane: DataPlane, stop: threading.Event) -> None:
    access_log = AccessLog(sys.stdout.fileno()) if settings.access_log else None
    # After the models are loaded: what they do not take is for requests.
    limits = plan_request_limits(read_memory_left())
    grpc_service = GrpcService(data_plane, settings.inference, settings.grpc, access_log, limits)
    http_service = (
        HttpService(RestRoutes(data_plane, settings.inference, settings.rest), settings.rest, access_log, limits)
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
