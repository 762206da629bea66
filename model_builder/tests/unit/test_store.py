import json
import os
import resource
import tempfile
import time
from pathlib import Path

import pytest

from model_artifact.inspection import inspect
from model_artifact.summary import artifact_path, parse_summary, recipe_path
from model_builder.errors import StoreError
from model_builder.folder_store import SECONDS_UNTIL_ABANDONED, FolderStore
from model_builder.loading import load_and_build


@pytest.fixture(scope="module")
def built(tmp_path_factory, make_untrained):
    """A real artifact of an untrained SmallCNN, and its recipe."""
    path = tmp_path_factory.mktemp("built") / "artifact.zip"
    chosen = make_untrained()
    load_and_build(chosen, path, {}, lambda _: None)
    return path, chosen


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    made = FolderStore(tmp_path / "store")
    made.prepare(time.time())
    return made


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_kept_is_found_under_its_digests(store, built, tmp_path):
    artifact, recipe = built
    summary = store.keep(artifact, recipe.digest)
    digest = inspect(artifact).digest
    assert listing(tmp_path / "store") == [artifact_path(digest), recipe_path(recipe.digest)]
    assert (tmp_path / "store" / summary.path).read_bytes() == artifact.read_bytes()
    assert parse_summary((tmp_path / "store" / recipe_path(recipe.digest)).read_text()) == summary
    assert (summary.digest, summary.recipe_digest, summary.trained) == (digest, recipe.digest, False)
    assert summary.float_bytes == 4 * summary.weights
    told = []
    assert store.read_known(recipe.digest, told.append) == summary
    assert told == []


def test_a_recipe_that_was_never_built_is_not_known(store, built):
    told = []
    assert store.read_known(built[1].digest, told.append) is None
    assert told == []


def alter_artifact(root, _):
    path = next((root / "artifacts").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def remove_artifact(root, _):
    next((root / "artifacts").iterdir()).unlink()


def cut_pointer(root, recipe):
    path = root / recipe_path(recipe.digest)
    path.write_bytes(path.read_bytes()[:-20])


def lead_outside(root, recipe):
    path = root / recipe_path(recipe.digest)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "sha256:" + "0" * 64, "path": "../x.zip"}))


@pytest.mark.parametrize("damage", [alter_artifact, remove_artifact, cut_pointer, lead_outside])
def test_what_does_not_verify_is_built_anew_and_told(damage, store, built, tmp_path):
    artifact, recipe = built
    summary = store.keep(artifact, recipe.digest)
    damage(tmp_path / "store", recipe)
    told = []
    assert store.read_known(recipe.digest, told.append) is None
    assert len(told) == 1
    assert told[0].endswith("; building anew")
    assert store.keep(artifact, recipe.digest) == summary == store.read_known(recipe.digest, told.append)


def test_the_artifact_of_another_recipe_is_not_taken(store, built, make_untrained, tmp_path):
    artifact, recipe = built
    other = make_untrained(seed=5)
    store.keep(artifact, recipe.digest)
    (tmp_path / "store" / recipe_path(recipe.digest)).rename(tmp_path / "store" / recipe_path(other.digest))
    told = []
    assert store.read_known(other.digest, told.append) is None
    assert f"was made from {recipe.digest}" in told[0]


def test_leftovers_of_more_than_a_day_are_removed_and_nothing_else(store, tmp_path):
    root, now = tmp_path / "store", time.time()
    for name, age in ((".build-old", SECONDS_UNTIL_ABANDONED + 60), (".build-new", 60), (".mine", 10**7)):
        (root / name).mkdir()
        (root / name / "artifact").write_bytes(b"half")
        os.utime(root / name, (now - age, now - age))
    store.prepare(now)
    assert listing(root) == [".build-new/artifact", ".mine/artifact"]


def test_a_full_store_says_so_and_keeps_nothing_half(store, built, tmp_path):
    artifact, recipe = built
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreError) as refused:
            store.keep(artifact, recipe.digest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(refused.value) == (
        f"{tmp_path / 'store'}: the store is full (file too large); remove artifacts that no model needs, or enlarge"
        " its volume"
    )
    assert listing(tmp_path / "store") == []
    assert [path.name for path in (tmp_path / "store").iterdir() if path.name.startswith(".")] == []


def test_a_store_that_is_not_mounted_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere: no such folder; mount the store there"):
        FolderStore(tmp_path / "nowhere").prepare(time.time())


@pytest.mark.parametrize("made_by_another", [False, True])
def test_a_store_that_this_user_may_not_write_names_folder_and_user(made_by_another):
    with tempfile.TemporaryDirectory() as folder:
        if made_by_another:
            FolderStore(Path(folder)).prepare(time.time())
            (Path(folder) / "artifacts").chmod(0o555)
        Path(folder).chmod(0o555)
        effective = os.geteuid()
        if effective == 0:  # root may write everywhere; be another user for a while
            os.seteuid(65534)
        try:
            with pytest.raises(StoreError) as refused:
                FolderStore(Path(folder)).prepare(time.time())
            user = os.geteuid()
        finally:
            os.seteuid(effective)
            Path(folder).chmod(0o755)
    assert str(refused.value) == (
        f"{folder}/artifacts: permission denied for user {user} of group {os.getegid()}; mount the store writable, with"
        " a group that the build has (fsGroup)"
    )
