import re
import shutil
import subprocess
import sys
from pathlib import Path

import model_artifact
import model_builder
from model_builder.machine import digest_sources, read_commit, read_hardware


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
