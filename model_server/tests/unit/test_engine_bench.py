import importlib.util

import pytest

from model_server.engine_bench import EngineResult, find_version_folder, plan_advice, run_bench
from model_server.errors import LoadError


def result(engine, cpu_milliseconds, resident_mebibytes, problem=""):
    return EngineResult(engine, problem, 0.1, 1.0, 2.0, cpu_milliseconds, resident_mebibytes)


@pytest.mark.parametrize(
    ("results", "advice"),
    [
        ([result("litert", 4.0, 100), result("openvino", 3.0, 200)], "Take --engine=openvino."),
        ([result("litert", 3.1, 100), result("openvino", 3.0, 200)], "Take --engine=litert."),
        ([result("litert", 3.0, 100), result("openvino", 9.0, 90)], "Take --engine=litert."),
        ([result("litert", 0, 0, "no"), result("openvino", 9.0, 90)], "Take --engine=openvino."),
        ([result("litert", 0, 0, "no"), result("openvino", 0, 0, "no")], "No engine serves this model."),
    ],
)
def test_advice_is_the_least_cpu_and_memory_where_that_is_no_gain(results, advice):
    assert plan_advice(results) == advice


def test_the_highest_complete_version_is_measured(add_version):
    folder = add_version("half_plus_two", 3)
    add_version("half_plus_two", 12)
    (folder.parent / "99").mkdir()
    assert find_version_folder(folder) == folder
    assert find_version_folder(folder.parent) == folder.parent / "12"
    with pytest.raises(LoadError, match=r"holds no model\.tflite and no version folder with one\.$"):
        find_version_folder(folder.parent / "99")


def test_both_engines_are_measured_and_one_is_advised(add_version, capfd):
    folder = add_version("tiny_image", 1)
    assert run_bench([str(folder.parent)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["engine", "p50", "ms", "p95", "ms", "CPU", "ms", "RSS", "MiB", "load", "s"]
    assert [line.split()[0] for line in lines[1:3]] == ["litert", "openvino"]
    assert all(float(number) > 0 for number in lines[1].split()[1:5])
    without = "--engine=openvino needs OpenVINO" in lines[2]
    assert without == (importlib.util.find_spec("openvino") is None)
    assert lines[3].startswith("Take --engine=")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_other_arguments_print_the_usage(arguments, capsys):
    assert run_bench(arguments) == 255
    assert capsys.readouterr().err.startswith("usage: model-server bench DIR")
