import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from model_artifact.inspection import inspect
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.summary import BuildProgress, parse_failure, parse_progress, parse_summary, recipe_path
from model_artifact.termination import TerminationLog
from model_builder.errors import DataError, DownloadError
from model_builder.folder_store import FolderStore
from model_builder.job import explain_failure, run

DEADLINE_SECONDS = 120
KEEPS_FROM_A_PIPE = """
import sys
from pathlib import Path
from model_artifact.termination import TerminationLog
from model_builder.job import end_on_sigterm
from model_builder.folder_store import FolderStore

store = FolderStore(Path(sys.argv[1]))
end_on_sigterm(TerminationLog(Path(sys.argv[2])), store)
store.keep(Path(sys.argv[3]), "sha256:0")
"""


def recipe_of(**training):
    return Recipe(
        compression=Compression(alpha=1.25, bits=8),
        training=Training(architecture="SmallCNN", dataset="Digits", **training),
    )


@pytest.fixture
def environment(tmp_path):
    """What a build pod has: a store, a log, and one writable folder for everything else."""
    for name in ("store", "scratch"):
        (tmp_path / name).mkdir()
    return {
        **os.environ,
        "HOME": str(tmp_path / "scratch"),
        "TMPDIR": str(tmp_path / "scratch"),
        "MODELPRESS_STORE": str(tmp_path / "store"),
        "MODELPRESS_TERMINATION_LOG": str(tmp_path / "log"),
        "MODELPRESS_RECIPE": recipe_of(epochs=2).canonical_json(),
    }


@pytest.fixture
def started():
    """Starts the job's program, and ends it when the test ends."""
    processes = []

    def start(environment, *command):
        process = subprocess.Popen(
            command or [sys.executable, "-m", "model_builder.job"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def run_here(environment, tmp_path):
    """The job in this process: its exit code."""
    log = TerminationLog(tmp_path / "log")
    try:
        return run(environment, FolderStore(tmp_path / "store"), log)
    finally:
        log.close()


def half_made(store):
    return [path.name for path in store.rglob(".*")]


@pytest.mark.slow
def test_two_builds_of_a_recipe_at_once_both_hand_over_what_the_store_holds(environment, started, tmp_path):
    store = tmp_path / "store"
    logs = [tmp_path / "first", tmp_path / "second"]
    jobs = [started({**environment, "MODELPRESS_TERMINATION_LOG": str(log)}) for log in logs]
    outputs = [job.communicate(timeout=DEADLINE_SECONDS) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    assert [err for _, err in outputs] == ["", ""]
    summaries = [parse_summary(log.read_text()) for log in logs]
    for summary in summaries:
        facts = inspect(store / summary.path)
        assert (summary.digest, summary.size_bytes) == (facts.digest, facts.size_bytes)
        assert summary.path == f"artifacts/{facts.digest.removeprefix('sha256:')}.zip"
        assert summary.recipe_digest == recipe_of(epochs=2).digest
        assert (summary.alpha, summary.bits, summary.rule, summary.trained) == (1.25, 8, "Floor", True)
        assert summary.dataset == "scikit-learn digits"
        assert summary.quality.samples == 360
    assert parse_summary((store / recipe_path(recipe_of(epochs=2).digest)).read_text()) in summaries
    assert half_made(store) == []
    for out, _ in outputs:
        lines = [BuildProgress.model_validate(json.loads(line)) for line in out.splitlines()]
        phases = list(dict.fromkeys(line.phase for line in lines))
        assert phases == ["Loading", "Training", "Exporting", "Measuring", "Packing", "Storing"]
        done = [line for line in lines if "done: loss" in line.message]
        assert [(line.epoch, line.epochs) for line in done] == [(1, 2), (2, 2)]


@pytest.mark.slow
def test_sigterm_while_training_saves_it_and_the_next_attempt_goes_on(environment, started, tmp_path):
    endless = recipe_of(epochs=10_000).canonical_json()
    job = started({**environment, "MODELPRESS_RECIPE": endless})
    seen = read_until(job, lambda line: '"phase":"Training"' in line)
    begun = time.monotonic()
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=DEADLINE_SECONDS)
    assert job.returncode == 143, seen
    assert time.monotonic() - begun < 10
    failure = parse_failure((tmp_path / "log").read_text())
    assert (failure.error, failure.permanent) == (
        "ended by SIGTERM before the artifact was there; it is built again",
        False,
    )
    stored = {path.relative_to(tmp_path / "store").as_posix() for path in (tmp_path / "store").rglob("*")}
    saved = f".build-{recipe_of(epochs=10_000).digest.removeprefix('sha256:')}"
    assert stored == {"artifacts", "recipes", saved, f"{saved}/lock", f"{saved}/checkpoint.npz"}
    again = started({**environment, "MODELPRESS_RECIPE": endless})
    assert any("going on after step" in line for line in read_until(again, lambda line: "stepsPerSecond" in line))


def test_sigterm_while_storing_leaves_nothing_half(environment, started, tmp_path):
    pipe, store = tmp_path / "pipe", tmp_path / "store"
    os.mkfifo(pipe)
    job = started(environment, sys.executable, "-c", KEEPS_FROM_A_PIPE, store, tmp_path / "log", pipe)
    with pipe.open("wb") as data:  # opens when the job reads
        data.write(b"half")
        data.flush()
        assert half_made(store)
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=DEADLINE_SECONDS)
    assert job.returncode == 143
    assert half_made(store) == []


def read_until(process, wanted):
    """The lines up to the one that is wanted; fails with what was seen."""
    seen, deadline = [], time.monotonic() + DEADLINE_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0, deadline - time.monotonic())):
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"ended with {process.wait()} after {seen}: {process.stderr.read()}")
            seen.append(line)
            if wanted(line):
                return seen
    return pytest.fail(f"not in {DEADLINE_SECONDS} s: {seen}")


def test_a_known_recipe_is_handed_over_without_building(environment, tmp_path, capsys):
    environment["MODELPRESS_RECIPE"] = recipe_of(epochs=0).canonical_json()
    assert run_here(environment, tmp_path) == 0
    built = (tmp_path / "log").read_text()
    assert '"phase":"Packing"' in capsys.readouterr().out
    assert run_here(environment, tmp_path) == 0
    assert (tmp_path / "log").read_text() == built
    out = capsys.readouterr().out
    summary = parse_summary(built)
    assert out.count("\n") == 1
    assert parse_progress(out) == BuildProgress(
        phase="Storing", message=f"known: the store holds {summary.path} for this recipe"
    )
    assert (summary.trained, summary.quality) == (False, None)


def test_an_artifact_that_was_altered_is_built_anew(environment, tmp_path, capsys):
    environment["MODELPRESS_RECIPE"] = recipe_of(epochs=0).canonical_json()
    assert run_here(environment, tmp_path) == 0
    first = tmp_path / "store" / parse_summary((tmp_path / "log").read_text()).path
    first.write_bytes(first.read_bytes()[:-100])
    capsys.readouterr()
    assert run_here(environment, tmp_path) == 0
    out = capsys.readouterr().out
    assert "stands in the store but cannot be used" in out
    assert '"phase":"Packing"' in out
    summary = parse_summary((tmp_path / "log").read_text())
    assert inspect(tmp_path / "store" / summary.path).digest == summary.digest


BAD_BITS = {
    "compression": {"alpha": 1, "bits": 1},
    "training": {"architecture": "CNN", "dataset": "CIFAR10"},
}
NO_DATA = {**BAD_BITS, "compression": {"alpha": 1, "bits": 8}}


@pytest.mark.parametrize(
    ("change", "code", "permanent", "words"),
    [
        ({"MODELPRESS_RECIPE": "{"}, 2, True, "MODELPRESS_RECIPE: not a JSON document"),
        ({"MODELPRESS_RECIPE": json.dumps(BAD_BITS)}, 2, True, "compression.bits: bits must be 2 to 16"),
        ({"MODELPRESS_RECIPE": ""}, 2, True, "MODELPRESS_RECIPE is not set; set MODELPRESS_RECIPE to a recipe's JSON"),
        ({"MODELPRESS_STORE": ""}, 2, True, "MODELPRESS_STORE is not set"),
        ({"MODELPRESS_RECIPE": json.dumps(NO_DATA), "MODELPRESS_DATA": "{tmp}"}, 5, True, "no data_batch_1.bin there"),
    ],
)
def test_a_failure_is_one_sentence_that_says_whether_it_would_come_again(
    change, code, permanent, words, environment, tmp_path, capsys
):
    environment |= {name: value.replace("{tmp}", str(tmp_path)) for name, value in change.items()}
    assert run_here(environment, tmp_path) == code
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.permanent == permanent
    assert words in failure.error
    assert "\n" not in failure.error
    assert capsys.readouterr().err.splitlines()[-1] == f"model-builder-job: {failure.error}"
    assert half_made(tmp_path / "store") == []


@pytest.fixture
def own_files(tmp_path, environment):
    """A model and images of a user's own in the folders of two claims: their URIs, with digests."""
    import keras

    from model_builder.dataset import load_digits

    digits, claims = load_digits(), tmp_path / "claims"
    (claims / "nets" / "v1").mkdir(parents=True)
    (claims / "sets").mkdir()
    chain = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input((8, 8, 1)), *chain]).save(claims / "nets" / "v1" / "own.keras")
    np.savez_compressed(
        claims / "sets" / "own.npz",
        x_train=digits.training_images,
        y_train=digits.training_labels,
        x_test=digits.test_images,
        y_test=digits.test_labels,
    )
    environment["MODELPRESS_CLAIMS"] = str(claims)
    return {
        kind: {"uri": f"pvc://{below}", "digest": f"sha256:{hashlib.sha256((claims / below).read_bytes()).hexdigest()}"}
        for kind, below in (("model", "nets/v1/own.keras"), ("data", "sets/own.npz"))
    }


def own_recipe(files, **training):
    compression = {"alpha": 0.5, "bits": 8}
    return Recipe.model_validate({"compression": compression, "training": {**files, "epochs": 2, **training}})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own saving
def test_a_model_and_images_in_claims_are_built(environment, own_files, tmp_path, capsys):
    recipe = own_recipe({**own_files, "data": {"uri": own_files["data"]["uri"]}})
    environment["MODELPRESS_RECIPE"] = recipe.canonical_json()
    assert run_here(environment, tmp_path) == 0
    summary = parse_summary((tmp_path / "log").read_text())
    assert (summary.recipe_digest, summary.trained, summary.dataset) == (recipe.digest, True, "own")
    assert summary.quality.value > 50
    assert summary.quality.measures.keys() == {"Accuracy", "F1", "AUC", "MeanIoU", "MAE", "MSE"}
    assert summary.quality.measures["Accuracy"] == summary.quality.value
    made = inspect(tmp_path / "store" / summary.path).manifest.content.provenance
    assert made.recipe == recipe
    assert (made.given_model.name, made.given_model.digest) == ("own.keras", own_files["model"]["digest"])
    assert made.dataset.digest == own_files["data"]["digest"], "measured, though not stated"
    assert (summary.model_digest, summary.data_digest) == (made.given_model.digest, made.dataset.digest)
    capsys.readouterr()
    (tmp_path / "claims" / "nets" / "v1" / "own.keras").unlink()
    assert run_here(environment, tmp_path) == 0, "a file with a stated digest is known by it"
    assert "known: the store holds" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own saving
def test_a_file_that_was_changed_behind_its_uri_is_not_given_the_old_artifact(environment, own_files, tmp_path, capsys):
    """Namespaces that share a store may mean different files by one URI."""
    files = {**own_files, "data": {"uri": own_files["data"]["uri"]}}
    environment["MODELPRESS_RECIPE"] = own_recipe(files, epochs=1).canonical_json()
    assert run_here(environment, tmp_path) == 0
    first = parse_summary((tmp_path / "log").read_text())
    path = tmp_path / "claims" / "sets" / "own.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **arrays | {"x_train": 255 - arrays["x_train"], "x_test": 255 - arrays["x_test"]})
    capsys.readouterr()
    assert run_here(environment, tmp_path) == 0
    second = parse_summary((tmp_path / "log").read_text())
    assert f"made from another file than {files['data']['uri']} now; building anew" in capsys.readouterr().out
    assert second.data_digest != first.data_digest
    assert second.digest != first.digest
    path.unlink()
    assert run_here(environment, tmp_path) == 5
    assert "holds no file own.npz" in parse_failure((tmp_path / "log").read_text()).error


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own saving
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"data": {"uri": "pvc://sets/other.npz"}},
            "pvc://sets/other.npz: the claim sets holds no file other.npz; put it there, or correct the uri",
        ),
        (
            {"model": {"uri": "pvc://nets/v1/own.keras", "digest": "sha256:" + "0" * 64}},
            "pvc://nets/v1/own.keras: its digest is {digest}, but the recipe states sha256:" + "0" * 64,
        ),
        (
            {"data": {"uri": "pvc://nets/v1/own.keras"}},
            "pvc://nets/v1/own.keras: has no x_train; it must hold x_train, y_train, x_test, y_test",
        ),
        ({"model": {"uri": "pvc://sets/own.npz"}}, "pvc://sets/own.npz: not a .keras file"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_its_uri_and_would_come_again(
    change, sentence, environment, own_files, tmp_path
):
    environment["MODELPRESS_RECIPE"] = own_recipe(own_files | change).canonical_json()
    assert run_here(environment, tmp_path) == (2 if "keras file" in sentence else 5)
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.error.startswith(sentence.replace("{digest}", own_files["model"]["digest"])), failure.error
    assert failure.permanent
    assert "data.claimName" not in failure.error, "the remedy for known data sets"


def test_a_store_that_is_gone_may_come_back(environment, tmp_path):
    (tmp_path / "store").rmdir()
    assert run_here(environment, tmp_path) == 6
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.error == f"{tmp_path / 'store'}: no such folder; mount the store there"
    assert not failure.permanent


@pytest.mark.parametrize(
    ("error", "code", "permanent", "sentence"),
    [
        (DownloadError("ended after 3 of 5 bytes"), 5, False, "ended after 3 of 5 bytes"),
        (DataError("missing"), 5, True, "missing"),
        (OSError(28, "No space left on device"), 1, False, "no space left on device; check the free space and the"),
        (ValueError("one\ntwo"), 1, False, "the build broke off: ValueError: one; its log has the traceback"),
        (MemoryError(), 1, False, "the build broke off: MemoryError: no message; its log has the traceback"),
    ],
)
def test_every_error_has_a_code_and_a_verdict(error, code, permanent, sentence):
    found, failure = explain_failure(error)
    assert (found, failure.permanent) == (code, permanent)
    assert failure.error.startswith(sentence)


def test_a_log_that_cannot_be_written_is_said_before_anything_is_built(environment, started, tmp_path):
    job = started({**environment, "MODELPRESS_TERMINATION_LOG": str(tmp_path / "no" / "log")})
    out, err = job.communicate(timeout=DEADLINE_SECONDS)
    assert (job.returncode, out) == (2, "")
    assert err.startswith(f"model-builder-job: {tmp_path / 'no' / 'log'}: no such file or directory; check the path")
