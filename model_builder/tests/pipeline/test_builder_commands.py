"""The command line on real builds of small networks."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from model_artifact.summary import parse_progress
from model_builder.__main__ import main
from model_builder.interruption import interruptible

RECIPE = {
    "compression": {"alpha": 1.25, "bits": 8},
    "training": {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 4, "learningRate": 0.1},
}


def write_recipe(folder, name="recipe.json", **training):
    path = folder / name
    path.write_text(json.dumps({**RECIPE, "training": {**RECIPE["training"], **training}}))
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a finished build."""
    folder = tmp_path_factory.mktemp("commands")
    metrics = ["--metrics-file", str(folder / "build.prom")]
    assert main(["build", str(write_recipe(folder)), "-o", str(folder / "build"), *metrics]) == 0
    return folder / "build"


def last_error(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_a_build_leaves_artifact_log_recipe_and_histograms(built):
    assert {path.name for path in built.iterdir()} == {
        "artifact.zip",
        "checkpoint",
        "log.jsonl",
        "masters.json",
        "recipe.json",
    }
    lines = (built / "log.jsonl").read_text().splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", json.loads(line)["time"]) for line in lines)
    assert [json.loads(line)["epoch"] for line in lines if "done: loss" in line] == [1, 2, 3, 4]
    assert parse_progress(lines[-1]).phase == "Packing"


def test_a_build_shows_itself_to_prometheus_where_a_flag_asks_for_it(built):
    lines = (built.parent / "build.prom").read_text().splitlines()
    assert "modelpress_build_epochs 4.0" in lines
    assert 'modelpress_build_phase{modelpress_build_phase="Packing"} 1.0' in lines


def test_metrics_that_cannot_be_written_end_the_build_before_it_begins(tmp_path, capsys):
    metrics = ["--metrics-file", str(tmp_path / "nowhere" / "build.prom")]
    assert main(["build", str(write_recipe(tmp_path)), "-o", str(tmp_path / "out"), *metrics]) == 2
    assert "nowhere" in last_error(capsys)
    assert not (tmp_path / "out").exists()


def test_a_second_build_in_the_folder_needs_resume_and_then_is_done_at_once(built, capsys):
    recipe = str(write_recipe(built.parent))
    before = (built / "artifact.zip").stat().st_mtime_ns
    assert main(["build", recipe, "-o", str(built)]) == 2
    assert last_error(capsys).endswith("holds a build of this recipe already; --resume goes on with it")
    assert main(["build", recipe, "-o", str(built), "--resume"]) == 0
    assert capsys.readouterr().out.startswith("sha256:")
    assert (built / "artifact.zip").stat().st_mtime_ns == before


def test_another_recipe_in_the_folder_is_refused(built, capsys):
    other = write_recipe(built.parent, "other.json", seed=1)
    assert main(["build", str(other), "-o", str(built), "--resume"]) == 2
    assert "holds a build of another recipe (recipe.json); name another folder" in last_error(capsys)


def test_evaluate_measures_what_the_manifest_states(built, capsys):
    from model_artifact.inspection import inspect

    stated = inspect(built / "artifact.zip").manifest.content.provenance.quality
    capsys.readouterr()
    assert main(["evaluate", str(built), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["quality"]["deployed"] == pytest.approx(stated.deployed)
    assert found["quality"]["floatModel"] == pytest.approx(stated.float_model)
    assert tuple(map(tuple, found["quality"]["confusion"])) == stated.confusion
    assert found["dataset"] == "scikit-learn digits"
    assert main(["evaluate", str(built / "artifact.zip"), "--metric", "F1"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"F1 \d\d\.\d\d % deployed, \d\d\.\d\d % in float32, 360 samples of scikit-learn digits\n", out)
    assert f"worst class: {stated.worst_class.name}, " in out
    assert len(out.split("\n\n")[1].splitlines()) == 10


def test_export_unpacks_what_servers_load(built, tmp_path, capsys):
    assert main(["export", str(built), str(tmp_path / "version")]) == 0
    assert {"model.tflite", "saved_model.pb"} <= {path.name for path in (tmp_path / "version").iterdir()}
    assert capsys.readouterr().out.strip() == read_digest(built)


def test_export_in_another_form_takes_what_was_trained_and_measures_it(built, tmp_path, capsys):
    assert main(["export", str(built), str(tmp_path / "float"), "--activations", "Float"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() != read_digest(built)
    assert "epoch 4/4: going on after step" in captured.err
    sizes = [(folder / "model.tflite").stat().st_size for folder in (tmp_path / "float", unpacked(built, tmp_path))]
    assert sizes[0] > 2 * sizes[1]


def unpacked(built, tmp_path):
    assert main(["export", str(built), str(tmp_path / "plain")]) == 0
    return tmp_path / "plain"


def test_export_in_another_form_needs_the_folder_of_a_build(built, tmp_path, capsys):
    artifact = str(built / "artifact.zip")
    assert main(["export", artifact, str(tmp_path / "out"), "--activations", "Integer"]) == 2
    assert "name the folder of a finished build" in last_error(capsys)
    assert not (tmp_path / "out").exists()


def read_digest(folder):
    from model_artifact.inspection import inspect

    return inspect(folder / "artifact.zip").digest


def test_report_is_one_page_with_its_pictures_inside(built, tmp_path, capsys):
    assert main(["report", str(built), str(built / "artifact.zip"), "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert {base64.b64decode(picture) for picture in pictures} == set(written.values())
    parts = ("curves", "weights", "layers", "confusion")
    assert set(written) == {"frontier.png"} | {f"{name}-{part}.png" for name in ("build", "build-2") for part in parts}
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "every accuracy is on scikit-learn digits" in page
    assert read_digest(built) in page


@pytest.mark.parametrize("command", [["evaluate"], ["export"], ["report"]])
def test_a_file_that_is_no_artifact_has_a_code_of_its_own(command, tmp_path, capsys):
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    rest = {"export": [str(tmp_path / "out")], "report": ["-o", str(tmp_path / "out")]}.get(command[0], [])
    assert main([*command, str(tmp_path / "x.zip"), *rest]) == 3
    assert last_error(capsys).startswith("model-builder: ")


@pytest.mark.parametrize(
    ("section", "change", "code", "words"),
    [
        ("compression", {"alpha": -1}, 2, "compression.alpha: Input should be greater than or equal to 0"),
        ("compression", {"bits": 1}, 2, "compression.bits: bits must be 2 to 16, or 32"),
        ("training", {"dataset": "MNIST"}, 2, "training.dataset: Input should be 'CIFAR10' or 'Digits'"),
        ("training", {"architecture": "VGG16"}, 2, "VGG16 pools images down from at least 32x32 pixels"),
        ("training", {"architecture": "CNN", "dataset": "CIFAR10"}, 5, "MODELPRESS_DATA"),
    ],
)
def test_bad_input_is_one_sentence_with_a_documented_code(section, change, code, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MODELPRESS_DATA", str(tmp_path))
    (tmp_path / "r.json").write_text(json.dumps({**RECIPE, section: {**RECIPE[section], **change}}))
    assert main(["build", str(tmp_path / "r.json"), "-o", str(tmp_path / "out")]) == code
    last = last_error(capsys)
    assert last.startswith("model-builder: ")
    assert words in last
    assert not (tmp_path / "out" / "artifact.zip").exists()


def test_sigterm_saves_and_ends_with_143_and_resume_gives_what_an_unbroken_build_gives(tmp_path):
    from model_artifact.inspection import inspect

    recipe = write_recipe(tmp_path, epochs=12)
    command = [sys.executable, "-m", "model_builder", "build", str(recipe), "-o"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    broken = subprocess.Popen([*command, str(tmp_path / "broken")], stderr=subprocess.PIPE, text=True, env=environment)
    seen = wait_for_epoch(tmp_path / "broken" / "log.jsonl")
    broken.send_signal(signal.SIGTERM)
    _, err = broken.communicate(timeout=120)
    assert broken.returncode == 143, (seen, err)
    assert "it goes on from there" in err.splitlines()[-1]
    assert not (tmp_path / "broken" / "artifact.zip").exists()
    for folder in ("broken", "whole"):
        assert main(["build", str(recipe), "-o", str(tmp_path / folder), "--resume"]) == 0
    tensors = [inspect(tmp_path / folder / "artifact.zip").manifest.content for folder in ("broken", "whole")]
    assert [layer.zeros for layer in tensors[0].provenance.layers] == [
        layer.zeros for layer in tensors[1].provenance.layers
    ]
    files = [{file.path: file.sha256 for file in content.files} for content in tensors]
    assert files[0]["model.tflite"] == files[1]["model.tflite"]


def wait_for_epoch(log, seconds=90):
    """The log as it is once an epoch is done."""
    deadline = time.monotonic() + seconds
    text = ""
    while "done: loss" not in text:
        assert time.monotonic() < deadline, f"no epoch was done in {seconds} s; the log: {text!r}"
        text = log.read_text() if log.exists() else ""
        time.sleep(0.05)
    return text


def test_reproduce_lists_its_runs_and_prints_tables_without_running(tmp_path, capsys):
    assert main(["reproduce", "paper004", "--quick", "--list", "-o", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 27
    assert main(["reproduce", "paper004", "--quick", "--markdown", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("`model-builder reproduce paper004 --quick -o DIR`")
    assert list(tmp_path.iterdir()) == []


def test_reproduce_without_data_ends_with_the_code_of_data(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MODELPRESS_DATA", str(tmp_path))
    assert main(["reproduce", "readings", "--quick", "--only", "floor-inplace-a1.25", "-o", str(tmp_path / "out")]) == 5
    assert "MODELPRESS_DATA" in last_error(capsys)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_a_training_may_be_interrupted_signals_ask_for_its_end(number, capsys):
    before = signal.getsignal(number)
    with interruptible() as interruption:
        assert not interruption.asked
        signal.raise_signal(number)
        assert interruption.asked
        assert interruption.exit_code == 128 + number
        if number == signal.SIGINT:
            assert capsys.readouterr().err == "ending after what is done just now; Ctrl-C again ends at once\n"
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_ctrl_c_says_that_a_training_is_saved_only_while_there_is_one(capsys):
    with interruptible() as interruption, interruption.training():
        signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == "saving the training; Ctrl-C again ends at once\n"


def test_between_training_and_the_artifact_a_build_ends_when_it_is_asked_to(tmp_path, capsys, monkeypatch):
    recipe, folder = str(write_recipe(tmp_path, epochs=1)), tmp_path / "out"
    saved = f"the training that is saved in {folder / 'checkpoint'} goes on from there"
    asked = [
        ("Exporting", signal.SIGTERM, 143, f"before it was measured; {saved}"),
        ("Measuring", signal.SIGINT, 130, f"while it was measured; {saved}"),
        ("Packing", signal.SIGTERM, 143, f"while it was packed; {folder / 'artifact.zip'} is done all the same"),
    ]
    for phase, number, code, words in asked:

        def listen(progress, phase=phase, number=number):
            if progress.phase == phase:
                signal.raise_signal(number)

        monkeypatch.setattr("model_builder.commands.tell", listen)
        assert not (folder / "artifact.zip").exists()
        assert main(["build", recipe, "-o", str(folder), "--resume"]) == code
        assert last_error(capsys) == f"model-builder: the build ended on request {words}"
    assert (folder / "artifact.zip").exists()


def test_a_build_that_is_asked_to_end_before_it_has_data_ends(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("model_builder.commands.tell", lambda _: signal.raise_signal(signal.SIGTERM))
    assert main(["build", str(write_recipe(tmp_path)), "-o", str(tmp_path / "out")]) == 143
    assert last_error(capsys).endswith("before its data were looked for; nothing was trained that could be saved")


def test_ctrl_c_elsewhere_is_one_sentence(tmp_path, capsys, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("model_builder.commands.unpack", interrupt)
    assert main(["export", str(tmp_path), str(tmp_path / "version")]) == 130
    assert last_error(capsys) == "model-builder: ended by Ctrl-C"


@pytest.mark.parametrize(
    ("where", "doing"),
    [("build_model", "build the network"), ("write_version", "export"), ("judge_model", "measure the model")],
)
def test_memory_that_does_not_suffice_outside_of_training_is_one_sentence(where, doing, tmp_path, capsys, monkeypatch):
    def fill(*_arguments, **_options):
        raise MemoryError

    monkeypatch.setattr(f"model_builder.pipeline.{where}", fill)
    assert main(["build", str(write_recipe(tmp_path, epochs=1)), "-o", str(tmp_path / "out")]) == 2
    assert last_error(capsys) == f"model-builder: too little memory to {doing}; give the build more memory"
