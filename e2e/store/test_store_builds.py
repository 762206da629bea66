"""What builds keep in a bucket, and what collecting removes from it."""

import json
import os
import threading
import time

import pytest

from model_artifact.__main__ import main
from model_artifact.inspection import inspect
from model_artifact.manifest import Provenance
from model_artifact.object_store import Bucket
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.summary import artifact_path, parse_failure, parse_summary, recipe_path
from model_artifact.termination import TerminationLog
from model_builder.bucket_store import PROBE
from model_builder.errors import StoreError
from model_builder.folder_store import FolderStore
from model_builder.job import main as run_job
from model_builder.job import run
from model_builder.store import open_store
from store.conftest import BRIEF
from store.line import open_line
from store.server import SECRET_KEY
from store.version_folder import write_version_folder

DAY = 24 * 3600


def recipe_of(seed):
    return Recipe(
        compression=Compression(alpha=1.25, bits=8),
        training=Training(architecture="SmallCNN", dataset="Digits", seed=seed),
    )


def pack_built(folder, seed, target, assets=0):
    """An artifact that says which recipe it was made from."""
    made = Provenance(recipe=recipe_of(seed), trained=True, layers=(), versions={}, duration_seconds=1.0)
    return pack(write_version_folder(folder, assets), target, provenance=made)


@pytest.fixture
def built(tmp_path):
    """An artifact, and the recipe that gave it."""
    pack_built(tmp_path / "built", 0, tmp_path / "built.zip")
    return tmp_path / "built.zip", recipe_of(0)


@pytest.fixture
def store(bucket):
    """A store below a prefix of the bucket."""
    made = open_store(f"s3://{bucket.name}/team/models")
    made.prepare(time.time())
    return made


def keys_of(bucket, *folders):
    return [each.key for folder in folders for each in bucket.list_objects(folder)]


def everything(bucket):
    return keys_of(bucket, "team/models", "team/models/artifacts", "team/models/recipes")


def test_what_is_kept_is_found_under_its_digests(store, bucket, built):
    artifact, recipe = built
    summary = store.keep(artifact, recipe.digest)
    digest = inspect(artifact).digest
    below = [PROBE, artifact_path(digest), recipe_path(recipe.digest)]
    assert everything(bucket) == [f"team/models/{path}" for path in below]
    assert (summary.digest, summary.path, summary.recipe_digest) == (digest, artifact_path(digest), recipe.digest)
    told = []
    assert store.read_known(recipe.digest, told.append) == summary
    assert store.read_known(recipe_of(1).digest, told.append) is None
    assert told == []


def test_both_kinds_of_store_say_the_same_of_an_artifact(store, built, tmp_path):
    artifact, recipe = built
    (tmp_path / "folder").mkdir()
    folder = FolderStore(tmp_path / "folder")
    folder.prepare(time.time())
    assert folder.keep(artifact, recipe.digest) == store.keep(artifact, recipe.digest)


def alter_artifact(root, _):
    path = next((root / "artifacts").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def remove_artifact(root, _):
    next((root / "artifacts").iterdir()).unlink()


def cut_record(root, recipe):
    path = root / recipe_path(recipe.digest)
    path.write_bytes(path.read_bytes()[:-20])


def name_another(root, recipe):
    path = root / recipe_path(recipe.digest)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "sha256:" + "0" * 64}))


@pytest.mark.parametrize("damage", [alter_artifact, remove_artifact, cut_record, name_another])
def test_what_does_not_verify_is_built_anew_and_told(damage, store, built, bucket_folder):
    """Whoever can write to the bucket may change what is there; nothing of it is believed."""
    artifact, recipe = built
    summary = store.keep(artifact, recipe.digest)
    damage(bucket_folder / "team" / "models", recipe)
    told = []
    assert store.read_known(recipe.digest, told.append) is None
    assert [line.endswith("; building anew") for line in told] == [True]
    assert store.keep(artifact, recipe.digest) == summary == store.read_known(recipe.digest, told.append)


def test_the_artifact_of_another_recipe_is_not_taken(store, built, bucket_folder):
    artifact, recipe = built
    store.keep(artifact, recipe.digest)
    root = bucket_folder / "team" / "models"
    (root / recipe_path(recipe_of(5).digest)).write_text((root / recipe_path(recipe.digest)).read_text())
    told = []
    assert store.read_known(recipe_of(5).digest, told.append) is None
    assert f"was made from {recipe.digest}" in told[0]


def test_builds_of_one_recipe_at_once_all_hand_over_what_the_store_holds(store, bucket, tmp_path):
    """Two give the same bytes, as builds of one recipe do; two give others, as on other machines."""
    artifacts = []
    for number in range(4):
        pack_built(tmp_path / f"{number}", 0, tmp_path / f"{number}.zip", assets=2 * (number // 2))
        artifacts.append(tmp_path / f"{number}.zip")
    kept, threads = [], []
    for artifact in artifacts:
        task = threading.Thread(target=lambda path=artifact: kept.append(store.keep(path, recipe_of(0).digest)))
        threads.append(task)
        task.start()
    for task in threads:
        task.join()
    assert {summary.digest for summary in kept} == {inspect(path).digest for path in artifacts}
    assert store.read_known(recipe_of(0).digest, pytest.fail) in kept
    assert set(keys_of(bucket, "team/models/artifacts")) == {f"team/models/{summary.path}" for summary in kept}


def test_a_server_killed_while_an_artifact_is_kept_leaves_no_record(own_server, through, tmp_path, monkeypatch):
    monkeypatch.setattr(Bucket.__init__, "__defaults__", (BRIEF,))
    own_server.make_bucket("models")
    pack_built(tmp_path / "built", 0, tmp_path / "built.zip", assets=4)
    with open_line(own_server.port) as line:
        through(line.port)
        store = open_store("s3://models")
        store.prepare(time.time())
        line.after(9_000_000, own_server.kill)
        with pytest.raises(StoreError, match=r"^s3://models/artifacts/[0-9a-f]{64}\.zip: the endpoint cannot be used"):
            store.keep(tmp_path / "built.zip", recipe_of(0).digest)
    own_server.start()
    bucket = Bucket("models", through(own_server.port), BRIEF)
    assert keys_of(bucket, "artifacts", "recipes") == []
    assert open_store("s3://models").read_known(recipe_of(0).digest, pytest.fail) is None


def test_a_store_that_refuses_is_told_before_anything_is_built(server, bucket, through, tmp_path, monkeypatch, capfd):
    """By the job's own program: exit code 6, and the sentence in the termination message."""
    server.add_user("builder", "builders-own-key")
    for name, value in {
        **through(server.port, "builder", "builders-own-key"),
        "MODELPRESS_RECIPE": recipe_of(0).canonical_json(),
        "MODELPRESS_STORE": f"s3://{bucket.name}/team/models",
        "MODELPRESS_TERMINATION_LOG": str(tmp_path / "log"),
    }.items():
        monkeypatch.setenv(name, value)
    log = TerminationLog(tmp_path / "log")
    try:
        assert run(os.environ, open_store(os.environ["MODELPRESS_STORE"]), log) == 6
    finally:
        log.close()
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.error.startswith(f"s3://{bucket.name}/team/models/{PROBE}: access is denied (AccessDenied); allow")
    assert not failure.permanent
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", f"model-builder-job: {failure.error}\n")
    assert SECRET_KEY not in said.err
    assert "builders-own-key" not in said.err + (tmp_path / "log").read_text()


def test_a_known_recipe_is_handed_over_without_building(store, bucket, built, tmp_path, monkeypatch, capfd):
    artifact, recipe = built
    summary = store.keep(artifact, recipe.digest)
    monkeypatch.setenv("MODELPRESS_RECIPE", recipe.canonical_json())
    log = TerminationLog(tmp_path / "log")
    try:
        assert run({**os.environ, "MODELPRESS_STORE": f"s3://{bucket.name}"}, store, log) == 0
    finally:
        log.close()
    assert parse_summary((tmp_path / "log").read_text()) == summary
    assert f"known: the store holds {summary.path} for this recipe" in capfd.readouterr().out


def test_a_store_of_another_kind_is_bad_input(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MODELPRESS_STORE", "gs://models/x")
    monkeypatch.setenv("MODELPRESS_TERMINATION_LOG", str(tmp_path / "log"))
    assert run_job() == 2
    failure = parse_failure((tmp_path / "log").read_text())
    words = "gs://models/x: gs:// is not supported; name a path or s3://BUCKET/KEY"
    assert (failure.error, failure.permanent) == (words, True)
    assert capfd.readouterr().err == f"model-builder-job: {words}\n"


@pytest.fixture
def collected(store, bucket, tmp_path):
    """Three artifacts in a bucket, two of them named by a recipe; (bucket's store, digests by seed)."""
    digests = {}
    for seed in (1, 2):
        pack_built(tmp_path / f"{seed}", seed, tmp_path / f"{seed}.zip")
        digests[seed] = store.keep(tmp_path / f"{seed}.zip", recipe_of(seed).digest).digest
    unnamed = pack_built(tmp_path / "3", 3, tmp_path / "3.zip").digest
    bucket.upload(tmp_path / "3.zip", f"team/models/{artifact_path(unnamed)}")
    bucket.write_text(f"team/models/{artifact_path(unnamed)}.sig", "a signature")
    bucket.write_text("team/models/artifacts/notes.txt", "mine")
    return f"s3://{bucket.name}/team/models", digests | {3: unnamed}


def gc(bucket, root, *options):
    before = set(everything(bucket))
    assert main(["gc", root, *options]) == 0
    return {key.removeprefix("team/models/") for key in before - set(everything(bucket))}


def age(bucket_folder, days):
    """Make all objects older: the server tells the time of their files."""
    then = time.time() - days * DAY
    for path in bucket_folder.rglob("*"):
        os.utime(path, (then, then))


def test_what_is_younger_than_a_day_stays(collected, bucket):
    root, _ = collected
    assert gc(bucket, root, "--drop-recipes") == set()


def test_what_no_recipe_names_leaves_with_its_signature(collected, bucket, bucket_folder, capsys):
    root, digests = collected
    age(bucket_folder, 2)
    lone = artifact_path(digests[3])
    assert gc(bucket, root, "--keep-recipes", "--dry-run") == set()
    assert capsys.readouterr().out.splitlines()[-1].endswith(" bytes in 3 would be removed")
    assert gc(bucket, root, "--keep-recipes") == {lone, f"{lone}.sig", PROBE}
    assert gc(bucket, root, "--keep-recipes") == set()


def test_recipes_leave_only_when_that_is_asked_for(collected, bucket, bucket_folder):
    root, digests = collected
    age(bucket_folder, 2)
    lone = artifact_path(digests[3])
    gone = {artifact_path(digests[1]), recipe_path(recipe_of(1).digest), lone, f"{lone}.sig", PROBE}
    assert gc(bucket, root, "--drop-recipes", "--keep", digests[2]) == gone


def test_a_record_that_cannot_be_read_stops_everything(collected, bucket, bucket_folder, capsys):
    root, _ = collected
    bucket.write_text(f"team/models/recipes/{'2' * 64}.json", "{")
    age(bucket_folder, 2)
    before = everything(bucket)
    assert main(["gc", root, "--keep-recipes"]) == 2
    assert f"{root}/recipes/{'2' * 64}.json: cannot be read, so nothing is removed" in capsys.readouterr().err
    assert everything(bucket) == before


def test_a_prefix_that_is_no_store_is_left_alone(bucket, small_artifact, capsys):
    bucket.upload(small_artifact, f"{'a' * 64}.zip")
    assert main(["gc", f"s3://{bucket.name}", "--keep-recipes"]) == 2
    assert f"s3://{bucket.name}: no store, nothing is in s3://{bucket.name}/artifacts" in capsys.readouterr().err


def test_a_bucket_itself_may_be_a_store(bucket, built, bucket_folder):
    artifact, recipe = built
    store = open_store(f"s3://{bucket.name}")
    summary = store.keep(artifact, recipe.digest)
    assert keys_of(bucket, "artifacts", "recipes") == [summary.path, recipe_path(recipe.digest)]
    age(bucket_folder, 2)
    assert main(["gc", f"s3://{bucket.name}", "--drop-recipes"]) == 0
    assert keys_of(bucket, "artifacts", "recipes") == []
