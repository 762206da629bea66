import pytest

from model_server.errors import LoadError
from model_server.versions import VersionFolder, VersionPolicy, parse_version, plan_changes, read_versions


def folder(version, *names):
    return VersionFolder(version, None, tuple((name, 1, 1) for name in names))


def folders(*versions, incomplete=()):
    whole = {version: folder(version, "model.tflite") for version in versions}
    return whole | {version: folder(version) for version in incomplete}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("1", 1),
        ("00000123", 123),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("-1", None),
        ("1.0", None),
        ("v1", None),
        ("", None),
        ("\u0661", None),
    ],
)
def test_folder_names_that_are_int64_are_versions(name, version):
    assert parse_version(name) == version


def test_highest_version_is_loaded_and_the_others_go():
    changes = plan_changes(folders(1, 2, 3), frozenset({2}))
    assert (changes.aspired, changes.load, changes.unload) == ({3}, (3,), (2,))


def test_nothing_changes_when_the_highest_is_loaded():
    changes = plan_changes(folders(1, 2), frozenset({2}))
    assert (changes.aspired, changes.load, changes.unload) == ({2}, (), ())


def test_half_copied_version_is_not_aspired():
    changes = plan_changes(folders(1, incomplete=(2,)), frozenset({1}))
    assert (changes.aspired, changes.load, changes.unload) == ({1}, (), ())


def test_loaded_version_stays_while_its_folder_is_there():
    changes = plan_changes(folders(incomplete=(1,)), frozenset({1}))
    assert (changes.aspired, changes.load, changes.unload) == ({1}, (), ())


def test_loaded_version_stays_while_only_half_copied_ones_are_there():
    assert plan_changes(folders(incomplete=(2,)), frozenset({1})).unload == ()


@pytest.mark.parametrize(
    ("policy", "aspired"),
    [
        (VersionPolicy(), {4}),
        (VersionPolicy("latest", count=2), {3, 4}),
        (VersionPolicy("latest", count=9), {1, 3, 4}),
        (VersionPolicy("all"), {1, 3, 4}),
        (VersionPolicy("specific", versions=frozenset({1, 2})), {1}),
    ],
)
def test_policy_chooses_among_what_is_there(policy, aspired):
    changes = plan_changes(folders(1, 3, 4), frozenset({3}), policy)
    assert changes.aspired == aspired
    assert set(changes.load) == aspired - {3}
    assert list(changes.load) == sorted(changes.load, reverse=True)
    assert set(changes.unload) == {3} - aspired


def test_policy_that_wants_nothing_that_is_there_unloads_nothing():
    policy = VersionPolicy("specific", versions=frozenset({9}))
    assert plan_changes(folders(1), frozenset({1}), policy).unload == ()


def test_base_path_that_holds_a_model_itself_is_version_1(add_version):
    folder = add_version("half_plus_two", 7)
    (own,) = read_versions(folder).values()
    assert (own.version, own.path, own.complete) == (1, folder, True)
    assert list(read_versions(folder.parent)) == [7]


def test_deleting_every_version_unloads():
    assert plan_changes({}, frozenset({1, 2})).unload == (1, 2)


@pytest.mark.parametrize(
    ("names", "complete"),
    [
        (("model.tflite",), True),
        (("saved_model.pb",), False),
        (("model.tflite", "saved_model.pb"), True),
        (("model.tflite", "assets.extra/golden/golden.json"), False),
        (("model.tflite", "assets.extra/golden/inputs.npy", "assets.extra/golden/outputs.npy"), False),
        (("model.tflite", *(f"assets.extra/golden/{n}" for n in ("golden.json", "inputs.npy", "outputs.npy"))), True),
    ],
)
def test_set_is_complete_with_all_golden_files_or_none(names, complete):
    assert folder(1, *names).complete is complete


def test_fingerprint_changes_with_a_file(add_version):
    path = add_version("half_plus_two", 7)
    before = read_versions(path.parent)[7]
    (path / "model.tflite").write_bytes(b"shorter")
    after = read_versions(path.parent)[7]
    assert before.complete
    assert before.fingerprint != after.fingerprint


def test_files_and_other_folders_are_no_versions(tmp_path):
    (tmp_path / "3").write_text("a file")
    (tmp_path / "temporary").mkdir()
    (tmp_path / "0004").mkdir()
    assert list(read_versions(tmp_path)) == [4]


def test_missing_base_path_is_named(tmp_path):
    with pytest.raises(LoadError, match=f"Could not find base path {tmp_path}/absent"):
        read_versions(tmp_path / "absent")
