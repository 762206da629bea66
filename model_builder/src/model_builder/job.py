"""`model-builder-job`: builds what a recipe in the environment asks for and hands it to the store and the operator.

In: MODELPRESS_RECIPE (the recipe's JSON), MODELPRESS_STORE (a folder, or s3://BUCKET/PREFIX), and optionally
MODELPRESS_DATA (a folder), MODELPRESS_CLAIMS (a folder with a folder for each claim that the recipe names files in) and
MODELPRESS_SIGNING_KEY (a file in PEM: the artifact is signed). Out: JSON lines of progress on stdout, and, as the
container's termination message, the artifact's summary or the failure.

Exit codes (docs/exit-codes.md): 0 done, 1 broke off, 2 bad use or recipe, 5 data, 6 store, 143 ended by SIGTERM.
"""

import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from model_artifact.errors import ArtifactError
from model_artifact.recipe import Recipe, parse_recipe
from model_artifact.summary import ArtifactSummary, BuildProgress, Failure, format_document
from model_artifact.termination import TerminationLog, format_os_error
from model_builder.dataset import DATA_VARIABLE
from model_builder.errors import (
    BuildError,
    BuildInterruptedError,
    DataError,
    DownloadError,
    GivenFileError,
    OutOfMemoryError,
    StoreError,
)
from model_builder.given_files import find_changed
from model_builder.interruption import Interruption
from model_builder.loading import load_and_build
from model_builder.saved_build import own_checkpoints
from model_builder.seal import load_seal
from model_builder.store import Store, open_store

RECIPE_VARIABLE = "MODELPRESS_RECIPE"
STORE_VARIABLE = "MODELPRESS_STORE"
LOG_VARIABLE = "MODELPRESS_TERMINATION_LOG"
TERMINATION_LOG = "/dev/termination-log"
DATA_REMEDY = "in a cluster the chart's data.claimName names a claim that holds the data sets"

EXIT_BROKE_OFF = 1
EXIT_BAD_INPUT = 2
EXIT_DATA = 5
EXIT_STORE = 6
EXIT_TERMINATED = 128 + signal.SIGTERM

SECONDS_TO_SAVE = 25.0
"""Kubernetes ends a container 30 seconds after it asked it to end."""

_ENDED = Failure(error="ended by SIGTERM before the artifact was there; it is built again", permanent=False)


def main() -> int:
    """Build, and end soon on SIGTERM, with the training saved."""
    try:
        log = TerminationLog(Path(os.environ.get(LOG_VARIABLE, TERMINATION_LOG)))
    except OSError as error:
        print(f"model-builder-job: {format_os_error(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    with closing(log):
        try:
            store = open_store(os.environ.get(STORE_VARIABLE, ""), load_seal(os.environ))
        except (ArtifactError, OSError) as error:
            return _fail(error, log)
        return run(os.environ, store, log, end_on_sigterm(log, store))


def end_on_sigterm(log: TerminationLog, store: Store) -> Interruption:
    """From now on SIGTERM ends the process with 143: training saves itself, what is half stored leaves, the log tells.

    Python runs handlers in the main thread, which may be deep in TensorFlow for long; so a thread of its own waits for
    the byte that Python's handler in C writes at once. Call it from the main thread.
    """
    interruption = Interruption()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    threading.Thread(target=_wait_for_sigterm, args=(reading, log, store, interruption), daemon=True).start()
    return interruption


def _wait_for_sigterm(reading: int, log: TerminationLog, store: Store, interruption: Interruption) -> None:
    while os.read(reading, 1) != bytes([signal.SIGTERM]):
        continue
    try:
        interruption.ask()
        log.write(_ENDED)
        interruption.wait_until_saved(SECONDS_TO_SAVE)
        store.discard_half()
    finally:
        os._exit(EXIT_TERMINATED)


def run(
    environment: Mapping[str, str], store: Store, log: TerminationLog, interruption: Interruption | None = None
) -> int:
    """Build into the store, leave the summary or the failure in the log, and return the exit code."""
    try:
        log.write(_make(environment, store, interruption))
    except Exception as error:  # noqa: BLE001 whatever it is, the operator is told
        return _fail(error, log)
    return 0


def _fail(error: Exception, log: TerminationLog) -> int:
    """Tell what was wrong; the exit code."""
    code, failure = explain_failure(error)
    if code == EXIT_BROKE_OFF:
        traceback.print_exception(error)
    print(f"model-builder-job: {failure.error}", file=sys.stderr)
    log.write(failure)
    return code


def _make(environment: Mapping[str, str], store: Store, interruption: Interruption | None) -> ArtifactSummary:
    recipe = parse_recipe(_read_variable(environment, RECIPE_VARIABLE), RECIPE_VARIABLE)
    _read_variable(environment, STORE_VARIABLE)
    store.prepare(time.time())
    known = _find_known(store, recipe, environment)
    if known:
        return known
    folder = store.work_folder(recipe.digest) if recipe.training.epochs else None
    with tempfile.TemporaryDirectory(prefix="modelpress-job-") as scratch, own_checkpoints(folder) as checkpoints:
        artifact = Path(scratch) / "artifact.zip"
        load_and_build(recipe, artifact, environment, _tell, checkpoints=checkpoints, interruption=interruption)
        known = _find_known(store, recipe, environment)  # another build of the recipe may have been faster
        if known is None:
            _tell(BuildProgress(phase="Storing", message=f"storing {artifact.stat().st_size:,} bytes"))
            known = store.keep(artifact, recipe.digest)
        if checkpoints is not None:
            checkpoints.clear()
        return known


def _read_variable(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise BuildError(
            f"{name} is not set; set {RECIPE_VARIABLE} to a recipe's JSON, {STORE_VARIABLE} to the store's folder or s3://…"
            f" and, where there are data sets, {DATA_VARIABLE} to theirs"
        )
    return value


def _find_known(store: Store, recipe: Recipe, environment: Mapping[str, str]) -> ArtifactSummary | None:
    """What the store has for the recipe, provided that it was made from the very files that the recipe names."""
    known = store.read_known(recipe.digest, lambda why: _tell(BuildProgress(phase="Loading", message=why)))
    if known is None:
        return None
    changed = find_changed(recipe.training, known, environment, _tell)
    if changed is not None:
        message = (
            f"the store holds {known.path} for this recipe, made from another file than {changed} now; building anew"
        )
        _tell(BuildProgress(phase="Loading", message=message))
        return None
    _tell(BuildProgress(phase="Storing", message=f"known: the store holds {known.path} for this recipe"))
    return known


def _tell(progress: BuildProgress) -> None:
    print(format_document(progress), flush=True)


def explain_failure(error: Exception) -> tuple[int, Failure]:
    """The exit code, and what to tell: permanent is what the same recipe, data and builder would meet again."""
    match error:
        case BuildInterruptedError():
            return EXIT_TERMINATED, _ENDED
        case DataError():
            remedy = "" if isinstance(error, GivenFileError) else f"; {DATA_REMEDY}"
            return EXIT_DATA, Failure(error=f"{error}{remedy}", permanent=not isinstance(error, DownloadError))
        case StoreError():
            return EXIT_STORE, Failure(error=str(error), permanent=False)
        case ArtifactError() | BuildError():
            return EXIT_BAD_INPUT, Failure(error=str(error), permanent=not isinstance(error, OutOfMemoryError))
        case OSError():
            return EXIT_BROKE_OFF, Failure(error=format_os_error(error), permanent=False)
    first = (str(error).splitlines() or ["no message"])[0]
    sentence = f"the build broke off: {type(error).__name__}: {first}; its log has the traceback"
    return EXIT_BROKE_OFF, Failure(error=sentence, permanent=False)


if __name__ == "__main__":
    sys.exit(main())
