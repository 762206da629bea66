import os
import time

import pytest

from model_artifact.__main__ import main
from model_artifact.collection import Found
from model_artifact.store_views import FolderView
from model_artifact.summary import ArtifactSummary, format_document, recipe_path

DAY = 24 * 3600
NAMED, OTHER, YOUNG, KEPT = (f"sha256:{digit * 64}" for digit in "abcd")


def write(path, size, age_days):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    stamp(path, age_days)


def stamp(path, age_days):
    then = time.time() - age_days * DAY
    os.utime(path, (then, then))


def write_record(store, recipe_digest, digest, age_days):
    summary = ArtifactSummary(
        recipe_digest=recipe_digest,
        digest=digest,
        path="artifacts/x.zip",
        size_bytes=1,
        float_bytes=1,
        weights=1,
        bits_per_weight=1,
        entropy_bits_per_weight=1,
        sparsity_percent=1,
    )
    path = store / recipe_path(recipe_digest)
    path.parent.mkdir(exist_ok=True)
    path.write_text(format_document(summary))
    stamp(path, age_days)
    return path


def artifact(store, digest):
    return store / "artifacts" / f"{digest.removeprefix('sha256:')}.zip"


@pytest.fixture
def store(tmp_path):
    """Four artifacts: one that a recipe names, an unnamed one, one of this hour, and one that somebody needs."""
    store = tmp_path / "store"
    for size, (digest, age_days) in enumerate({NAMED: 9, OTHER: 9, YOUNG: 0.1, KEPT: 3}.items(), 100):
        write(artifact(store, digest), size, age_days)
    write_record(store, "sha256:" + "1" * 64, NAMED, 9)
    write(store / ".build-old" / "artifact", 50, 2)
    stamp(store / ".build-old", 2)
    write(store / ".build-new" / "artifact", 50, 2)
    write(store / "artifacts" / ".build-probe", 7, 2)
    write(store / ".snapshot", 7, 9)
    write(store / "artifacts" / "notes.txt", 7, 9)
    return store


def names(store):
    return {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}


def gc(store, *options):
    before = names(store)
    assert main(["gc", str(store), *options]) == 0
    return before - names(store)


HALVES = {".build-old/artifact", "artifacts/.build-probe"}


def below(store, *digests):
    return {artifact(store, digest).relative_to(store).as_posix() for digest in digests}


def test_what_no_recipe_names_leaves(store):
    assert gc(store, "--keep-recipes") == below(store, OTHER, KEPT) | HALVES


def test_what_is_kept_by_digest_stays_and_so_does_what_a_recipe_names(store):
    assert gc(store, "--keep", KEPT) == below(store, OTHER) | HALVES


def test_only_what_is_old_enough_leaves(store):
    assert gc(store, "--older-than", "5") == below(store, OTHER) | HALVES


def test_recipes_leave_only_when_that_is_asked_for(store):
    record = recipe_path("sha256:" + "1" * 64)
    assert gc(store, "--drop-recipes", "--keep", KEPT) == below(store, NAMED, OTHER) | HALVES | {record}


def test_a_dry_run_says_all_and_removes_nothing(store, capsys):
    assert gc(store, "--keep-recipes", "--dry-run") == set()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["101", f"artifacts/{'b' * 64}.zip"],
        ["103", f"artifacts/{'d' * 64}.zip"],
    ]
    assert lines[-1].split(maxsplit=1) == ["261", "bytes in 4 would be removed"]


def test_again_there_is_nothing_left_to_remove(store, capsys):
    assert gc(store, "--keep-recipes") != set()
    assert gc(store, "--keep-recipes") == set()
    assert capsys.readouterr().out.splitlines()[-1].split(maxsplit=1) == ["0", "bytes in 0 removed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "gc: say what stays"),
        (["--keep-recipes", "{record}"], "unrecognized arguments"),
        (["--keep", "sha256:1"], "is not sha256: and 64 hexadecimal digits"),
        (["--older-than", "0.5"], "is not a number of days, at least 1"),
        (["--older-than", "nan"], "is not a number of days, at least 1"),
        (["--keep-recipes", "--drop-recipes"], "not allowed with"),
    ],
)
def test_bad_use_removes_nothing(options, words, store, capsys):
    before = names(store)
    try:
        code = main(["gc", str(store), *options])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert words in capsys.readouterr().err
    assert names(store) == before


def test_a_record_that_cannot_be_read_stops_everything(store, capsys):
    (store / "recipes" / ("2" * 64 + ".json")).write_text("{")
    before = names(store)
    assert main(["gc", str(store), "--keep-recipes"]) == 2
    assert "cannot be read, so nothing is removed" in capsys.readouterr().err
    assert names(store) == before


def test_a_folder_that_is_no_store_is_left_alone(tmp_path, capsys):
    write(tmp_path / ("a" * 64 + ".zip"), 1, 9)
    assert main(["gc", str(tmp_path), "--keep-recipes"]) == 2
    assert "no store" in capsys.readouterr().err


def test_an_artifact_that_a_build_replaced_meanwhile_stays(store):
    path = artifact(store, OTHER)
    found = Found(path.relative_to(store).as_posix(), 101, path.stat().st_mtime)
    write(path, 101, 0)
    assert not FolderView(store).remove(found)
    assert path.exists()


def test_a_store_without_recipes_or_artifacts_is_no_trouble(tmp_path):
    (tmp_path / "artifacts").mkdir()
    assert gc(tmp_path, "--keep-recipes") == set()
    write(artifact(tmp_path, OTHER), 1, 2)
    assert gc(tmp_path, "--drop-recipes") == below(tmp_path, OTHER)


def test_links_are_not_followed(store, tmp_path):
    write(tmp_path / "mine.zip", 9, 9)
    link = artifact(store, "sha256:" + "e" * 64)
    link.symlink_to(tmp_path / "mine.zip")
    os.utime(link, (0, 0), follow_symlinks=False)
    gc(store, "--keep-recipes")
    assert (tmp_path / "mine.zip").exists()
    assert link.is_symlink()
