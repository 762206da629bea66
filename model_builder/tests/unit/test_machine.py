import re
import shutil
import subprocess
import sys
from pathlib import Path

import model_artifact
import model_builder
from model_artifact.manifest import Surroundings
from model_builder.machine import digest_sources, explain_repeating, read_commit, read_hardware, read_surroundings


def test_hardware_names_cores_and_memory():
    assert re.fullmatch(r".+, [1-9]\d* cores, [1-9]\d* GiB", read_hardware())


def test_the_commit_is_one_or_says_that_files_differ():
    commit = read_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{12}\+?", commit)


def test_a_copy_of_the_sources_has_their_digest_but_no_commit(tmp_path):
    for package in (model_artifact, model_builder):
        shutil.copytree(Path(package.__file__).parent, tmp_path / package.__name__)
    ask = "from model_builder.machine import digest_sources, read_commit; print(digest_sources(), read_commit())"
    told = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [digest_sources(), "None"]


def test_a_changed_module_has_another_digest(tmp_path):
    for package in (model_artifact, model_builder):
        shutil.copytree(Path(package.__file__).parent, tmp_path / package.__name__)
    with (tmp_path / "model_builder" / "rules.py").open("a") as module:
        module.write("\n# changed\n")
    ask = "from model_builder.machine import digest_sources; print(digest_sources())"
    told = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.strip() != digest_sources()


def test_what_an_accelerator_trained_or_what_was_taken_up_elsewhere_is_not_the_same_again():
    here = Surroundings(backend="tensorflow", versions={}, hardware="a machine", source_digest="sha256:0")
    there = here.model_copy(update={"accelerator": "an accelerator"})
    assert explain_repeating([here]).startswith("the same weights on the same machine with the same versions")
    assert explain_repeating([there]).startswith("up to the rounding of sums, whose order an accelerator")
    assert explain_repeating([here, here]).startswith("up to the rounding of sums: it was taken up")


def test_the_versions_of_a_training_are_those_of_its_own_backend():
    found = read_surroundings("tensorflow", None)
    assert {"keras", "numpy", "python", "machine", "platform", "modelpress-builder"} <= set(found.versions)
    assert any(name.startswith("tensorflow") for name in found.versions)
    assert "ai-edge-litert" not in found.versions
    assert (found.backend, found.accelerator, found.hardware) == ("tensorflow", None, read_hardware())
