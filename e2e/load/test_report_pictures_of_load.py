"""The command writes the page with a light and a dark PNG for everything there is something to draw of."""

import numpy as np
import pytest

from load.made_up_results import MadeUp, make_results
from load.report.__main__ import main
from load.report.latency_plots import count_nines, find_percentiles, find_windows, place_of
from load.report.model_plots import list_drawn
from load.results import Saturation, SaturationStep, read_results, write_results
from load.samples import make_samples


def test_the_command_makes_a_page_and_its_pictures(tmp_path, capsys):
    wanted = MadeUp(networks=("vgg16",), profiles=("n75",), ways=(("rest", "jmeter"),), blocks=1, seconds=12.0)
    path = make_results(tmp_path, wanted)
    scenario = {
        "name": "doubling",
        "configuration": "vgg16-a125-b8",
        "load": [[0, 5], [60, 5], [60, 10], [120, 10]],
        "replicas": [[0, 1], [75, 2]],
        "failures": 0,
        "followedSeconds": 15.0,
    }
    write_results(path, read_results(path).model_copy(update={"scaling": [scenario, {"unknown": 1}]}))
    assert main([str(path), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    names = {f"{kind}-vgg16-n75-rest-jmeter" for kind in ("latency", "percentiles", "cost")}
    names |= {"size-accuracy", "saturation-vgg16-rest", "scaling-1", "scaling-2"}
    pictures = {file.name: file.read_bytes() for file in (tmp_path / "out").glob("*.png")}
    assert set(pictures) == {f"{name}{dark}.png" for name in names for dark in ("", "-dark")}
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert all(pictures[f"{name}.png"] != pictures[f"{name}-dark.png"] for name in names)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "doubling. Replicas followed in 15 s. 0 requests failed." in page


@pytest.mark.parametrize("text", ["{}", "no JSON"])
def test_what_is_no_result_is_refused_in_a_sentence(tmp_path, capsys, text):
    file = tmp_path / "results.json"
    file.write_text(text)
    assert main([str(file)]) == 2
    assert "is no experiment's results" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_missing_samples_are_refused_in_a_sentence(tmp_path, capsys):
    wanted = MadeUp(networks=("digits",), profiles=("n75",), ways=(("rest", "jmeter"),), blocks=1, seconds=4.0)
    path = make_results(tmp_path, wanted)
    for file in (tmp_path / "samples").iterdir():
        file.unlink()
    assert main([str(path)]) == 2
    assert "no samples can be read from it" in capsys.readouterr().err


def test_percentiles_go_no_further_than_the_requests_reach():
    steps, waits = find_percentiles(np.arange(1.0, 1001.0))
    assert steps[-1] == pytest.approx(3.0)
    assert waits[-1] == 999.0
    assert float(np.interp(place_of(90), steps, waits)) == pytest.approx(900, abs=3)
    assert count_nines(10**9) == 4.0


def test_flat_rates_are_drawn_in_their_order_without_those_that_do_not_count():
    told = [(2, 5.0, None), (64, 9.0, None), (128, 20.0, None), (90, 12.0, None), (512, 900.0, "late"), (8, None, None)]
    steps = [SaturationStep(rate=rate, achieved=rate, p95_milliseconds=p95, void=void) for rate, p95, void in told]
    found = Saturation(configuration="a", protocol="rest", rule="r", steps=steps)
    assert [step.rate for step in list_drawn(found)] == [2, 64, 90, 128]


def test_windows_are_percentiles_of_the_answered_where_there_are_enough():
    rows = [(moment / 40, moment / 40, 10.0, "200", True) for moment in range(960)]
    rows += [(12.01, 12.01, 5_000.0, "timeout", False)]
    middles, values = find_windows(make_samples(rows))
    assert len(middles) == 24
    assert set(values) == {10.0}
    sparse = make_samples([(float(second), float(second), 10.0, "200", True) for second in range(24)])
    assert np.isnan(find_windows(sparse)[1]).all()
