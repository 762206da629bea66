"""The tag names exactly what goes into an image; secrets and errors are what a build is given and says."""

import shutil
from pathlib import Path

import pytest

from images.build_secrets import MARKER, read_secrets, secret_arguments
from images.errors import ImageError
from images.python_image import python_image_name
from images.sources import ROOT, TARGETS, parse_copied_paths, read_tag
from images.steps import Steps

PYTHON_IMAGE = "localhost/modelpress-python:test"


@pytest.fixture
def copied(tmp_path):
    """A copy of everything that an image can be built from."""
    for target in TARGETS:
        for name in ("Dockerfile", ".dockerignore", *parse_copied_paths((ROOT / "Dockerfile").read_text(), target)):
            source, copy = ROOT / name, tmp_path / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, dirs_exist_ok=True)
            else:
                shutil.copy(source, copy)
    return tmp_path


def tags(root):
    return tuple(read_tag(target, PYTHON_IMAGE, root) for target in TARGETS)


def append(path, text="\n"):
    path.write_text(path.read_text() + text)


def test_a_tag_is_twelve_hex_digits_and_the_same_for_a_copy(copied):
    assert tags(copied) == tags(ROOT)
    assert all(len(tag) == 12 and set(tag) <= set("0123456789abcdef") for tag in tags(copied))


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("Dockerfile", {"operator", "builder", "server"}),
        (".dockerignore", {"operator", "builder", "server"}),
        ("uv.lock", {"operator", "builder", "server"}),
        ("operator/pyproject.toml", {"operator", "builder", "server"}),
        ("model_artifact/src/model_artifact/packing.py", {"operator", "builder", "server"}),
        ("operator/src/model_operator/reconcile.py", {"operator"}),
        ("model_builder/src/model_builder/training.py", {"builder"}),
        ("model_server/src/model_server/engine.py", {"server"}),
    ],
)
def test_a_changed_source_changes_the_tags_of_what_it_goes_into(path, changed, copied):
    before = tags(copied)
    append(copied / path)
    after = tags(copied)
    assert {target for target, old, new in zip(TARGETS, before, after, strict=True) if old != new} == changed


def test_a_moved_and_an_executable_source_change_the_tag(copied):
    seen = {read_tag("builder", PYTHON_IMAGE, copied)}
    module = copied / "model_builder" / "src" / "model_builder" / "rules.py"
    module.chmod(0o755)
    seen.add(read_tag("builder", PYTHON_IMAGE, copied))
    module.rename(module.with_name("laws.py"))
    seen.add(read_tag("builder", PYTHON_IMAGE, copied))
    assert len(seen) == 3


def test_what_goes_into_no_image_changes_no_tag(copied):
    before = tags(copied)
    source = copied / "model_artifact" / "src" / "model_artifact"
    (source / "__pycache__").mkdir(exist_ok=True)
    (source / "__pycache__" / "new.pyc").write_bytes(b"code")
    (copied / "README.md").write_text("words")
    (copied / "model_server" / "tests").mkdir()
    (copied / "model_server" / "tests" / "test_new.py").write_text("")
    source.joinpath("packing.py").touch()
    assert tags(copied) == before


def test_another_base_is_another_tag(copied):
    assert read_tag("server", "localhost/other:1", copied) != read_tag("server", PYTHON_IMAGE, copied)


def test_the_environment_names_the_base():
    assert python_image_name({"PYTHON_IMAGE": "localhost/mine:1"}) == "localhost/mine:1"
    own, _, tag = python_image_name({}).partition(":")
    assert (own, len(tag)) == ("localhost/modelpress-python", 12)


def test_copied_paths_follow_stages_and_copies_between_them():
    dockerfile = (
        "ARG BASE\nFROM ${BASE} AS tools\nCOPY a b ./\n"
        "FROM tools AS code\nCOPY --chmod=644 \\\n  c c\n"
        "FROM ${BASE} AS other\nCOPY z z\n"
        "FROM ${BASE} AS final\nCOPY --from=code /x /x\nCOPY d /d\n"
    )
    assert parse_copied_paths(dockerfile, "final") == ["a", "b", "c", "d"]
    assert parse_copied_paths(dockerfile, "other") == ["z"]
    with pytest.raises(ImageError, match="there is no image `demo`: choose from operator, builder, server"):
        parse_copied_paths(dockerfile, "demo")


def test_a_path_that_is_copied_and_missing_is_named(copied):
    (copied / "NOTICE").unlink()
    with pytest.raises(ImageError, match=r"the Dockerfile copies .*NOTICE, which does not exist"):
        read_tag("server", PYTHON_IMAGE, copied)


def test_secrets_hold_the_certificates_and_indexes_of_the_environment(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificate\n")
    environment = {"SSL_CERT_FILE": str(bundle), "UV_DEFAULT_INDEX": "https://me:pass word@index/simple", "HOME": "/x"}
    assert read_secrets(environment) == {
        "ca": f"{MARKER}\ncertificate\n",
        "index": f"{MARKER}\nUV_DEFAULT_INDEX='https://me:pass word@index/simple'\n",
    }


def test_secret_files_are_private_and_gone_after_the_build(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificate\n")
    folder = tmp_path / "secrets"
    with secret_arguments(folder, {"PIP_CERT": str(bundle)}) as arguments:
        (argument,) = arguments
        path = Path(argument.removeprefix("--secret=id=ca,src="))
        assert path.read_text() == f"{MARKER}\ncertificate\n"
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_a_failed_step_says_its_last_words_and_where_the_rest_is(tmp_path):
    steps = Steps(tmp_path, tell=lambda _: None)
    with pytest.raises(
        ImageError, match=r"^image x failed \(second\): read .*image-x\.log, mend the cause and run again$"
    ):
        steps.run("image x", ["sh", "-c", "echo first; echo second >&2; exit 3"])
    with pytest.raises(ImageError, match=r"^image x failed because the disk is full: free some space"):
        steps.run("image x", ["sh", "-c", "echo 'write /a: no space left on device'; exit 1"])


def test_a_long_step_tells_how_it_is_doing(tmp_path, monkeypatch):
    monkeypatch.setattr("images.steps.QUIET_SECONDS", 0.3)
    told = []
    Steps(tmp_path, told.append).run("thing", ["sh", "-c", "echo half way; sleep 1"])
    assert told == ["thing: 0 s: half way", "thing: done in 1 s"]
