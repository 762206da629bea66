"""The page has a row for every configuration, says what was not run, leaves void runs out, and escapes names."""

import re
from html.parser import HTMLParser

import pytest

from load.made_up_results import MadeUp, make_results
from load.provenance import EXAMPLE_PRICES, read_prices
from load.report import paper
from load.report.bootstrap import Estimate
from load.report.cells import P95, Cells, Condition, Way
from load.report.cost import count_cost
from load.report.drawing import spread
from load.report.load_tables import ratio_to
from load.report.page import render_page
from load.report.targets import judge_ratio
from load.results import Prices, Results, Saturation, SaturationStep, Trouble, read_results
from model_builder import published

REST = Way("rest", "jmeter")
LITTLE = {"networks": ("vgg16",), "seconds": 12.0, "with_samples": False}


@pytest.fixture
def results(tmp_path):
    """Makes results from what is to be made up."""

    def make(**wanted):
        return read_results(make_results(tmp_path, MadeUp(**{**LITTLE, **wanted})))

    return make


class _Tables(HTMLParser):
    """Tables by caption, as rows of texts."""

    def __init__(self):
        super().__init__()
        self.tables, self.rows, self.caption, self.inside = {}, [], "", ""

    def handle_starttag(self, tag, attrs):
        del attrs
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        elif tag == "small":
            self.rows[-1][-1] += " | "
        if tag in {"td", "th", "caption"}:
            self.inside = tag

    def handle_data(self, data):
        if self.inside == "caption":
            self.caption += data
        elif self.inside:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        if tag in {"td", "th", "caption"}:
            self.inside = ""
        if tag == "table":
            self.tables.setdefault(self.caption, []).append(self.rows)


def read_tables(page):
    parser = _Tables()
    parser.feed(page)
    return parser.tables


def row_of(table, label):
    return next(row for row in table if row[0].startswith(label))


def test_every_configuration_has_a_row_in_every_table(results):
    tables = read_tables(render_page(results(), {}))
    settings = [f"\N{GREEK SMALL LETTER ALPHA} {alpha:g}, b {bits}" for alpha, bits in paper.SETTINGS]
    for caption in ("Table II: weights that are zero", "Table III: size of the artifact", "Table IV: accuracy"):
        labels = [row[0].removesuffix(" | untrained") for row in tables[caption][0]]
        assert labels[-6:] == settings
    for caption in ("Table V: p95 response time", "Table VI: Memory", "Table V: CPU", "CPU a request"):
        rest, grpc, *_ = tables[caption]
        assert [row[0].removesuffix(" | untrained") for row in rest][-8:] == [
            *settings,
            "Flask, TensorFlow float32",
            "TensorFlow Serving",
        ]
        assert [row[0] for row in grpc][-1] == "TensorFlow Serving"
        assert "Flask, TensorFlow float32" not in [row[0] for row in grpc]


def test_ours_stand_beside_theirs_with_ratio_and_interval(results):
    made = results()
    table = read_tables(render_page(made, {}))["Table V: p95 response time"][0]
    row = row_of(table, "\N{GREEK SMALL LETTER ALPHA} 1.25, b 8")
    theirs, ours, their_ratio, ratio, against_flask, load, generator = row[1:]
    assert theirs == "9.44 | \N{PLUS-MINUS SIGN} 1.729"
    assert their_ratio == "1.72x"
    runs = [run for run in made.runs if (run.configuration, run.profile) == ("vgg16-a125-b8", "n75")]
    rest = [run for run in runs if run.protocol == "rest"]
    assert (
        min(run.p95_milliseconds for run in rest)
        <= float(ours.split(" | ")[0])
        <= max(run.p95_milliseconds for run in rest)
    )
    assert re.fullmatch(r"\d+\.\d\dx \| \d+\.\d\d to \d+\.\d\d", ratio)
    assert re.fullmatch(r"\d+\.\d\dx \| \d+\.\d\d to \d+\.\d\d", against_flask)
    rate, failed = load.split(" | ")
    assert float(rate) == pytest.approx(sum(run.requests_per_second for run in rest) / 3, abs=0.006)
    assert failed == "none failed"
    assert generator == "3.3 % | of the node, most 3.3 %"


def test_two_blocks_print_no_interval_and_say_so(results):
    page = render_page(results(blocks=2), {})
    assert "Of 2 blocks: with fewer than 3 no interval can be given, and none is." in page
    assert " to " not in str(read_tables(page)["Table V: p95 response time"])


def test_what_was_not_run_says_so(results):
    made = results()
    kept = [each for each in made.configurations if each.name != "vgg16-a50-b8"]
    runs = [run for run in made.runs if run.configuration != "vgg16-a50-b8" and run.profile == "n75"]
    page = render_page(made.model_copy(update={"configurations": kept, "runs": runs, "saturation": []}), {})
    tables = read_tables(page)
    assert set(row_of(tables["Table III: size of the artifact"][0], "\N{GREEK SMALL LETTER ALPHA} 0.5, b 8")[2:]) >= {
        "not run"
    }
    row = row_of(tables["Table VI: Memory"][0], "\N{GREEK SMALL LETTER ALPHA} 1.25, b 8")
    assert [row[2], *row[4:]] == ["not run"] * 5
    assert "N = 250, REST by JMeter: vgg16-a0-b32" in page
    assert "saturation; scaling with the load; scale-out against size; models a node" in page


def test_untrained_has_no_accuracy(results):
    row = row_of(
        read_tables(render_page(results(), {}))["Table IV: accuracy"][0], "\N{GREEK SMALL LETTER ALPHA} 1.25, b 32"
    )
    assert row == ["\N{GREEK SMALL LETTER ALPHA} 1.25, b 32 | untrained", "79.53 %", "untrained", "-2.05", "untrained"]


def test_void_runs_are_in_no_figure_and_are_told(results):
    made = results()
    changed = [
        run.model_copy(update={"void": "the generator took 34 % of the node", "p95_milliseconds": 1e6})
        if (run.configuration, run.block) == ("vgg16-a0-b8", 1)
        else run
        for run in made.runs
    ]
    told = made.model_copy(update={"runs": changed})
    found = Cells(told).measure("vgg16-a0-b8", Condition("n75", REST), P95)
    assert sorted(found) == [(0, ""), (2, "")]
    page = render_page(told, {})
    assert "Void and counted nowhere: 4 runs (4 x the generator took 34 % of the node)." in page
    assert "1,000,000" not in page
    assert "vgg16-a0-b8, n75, rest, block 1: the generator took 34 % of the node" in page


def test_tries_that_ended_in_an_error_are_told(results):
    made = results()
    again = {"at": "now", "of": "vgg16-a0-b8 n75 rest block 1", "error": "it hung", "again": True}
    for troubles, words in (
        ([again], "1 try ended in an error, and all of them were made again."),
        ([again, {**again, "again": False}], "2 tries ended in an error; left out: vgg16-a0-b8 n75 rest block 1."),
    ):
        assert words in render_page(made.model_copy(update={"troubles": [Trouble(**each) for each in troubles]}), {})


def test_prices_of_the_example_are_called_so(results):
    made = results()
    assert "A core costs 0.04 USD" in render_page(made, {})
    example = made.model_copy(update={"prices": read_prices(EXAMPLE_PRICES)})
    assert "Example prices, no provider&#x27;s: a core costs 0.04 USD an hour" in render_page(example, {})


def test_a_cell_of_void_runs_alone_says_void(results):
    made = results()
    changed = [
        run.model_copy(update={"void": "no"}) if (run.configuration, run.profile) == ("vgg16-a0-b8", "n75") else run
        for run in made.runs
    ]
    table = read_tables(render_page(made.model_copy(update={"runs": changed}), {}))["CPU a request"][0]
    assert row_of(table, "\N{GREEK SMALL LETTER ALPHA} 0, b 8")[1:] == ["void"] * 5


def test_a_repeated_block_counts_once(results):
    made = results()
    first = made.runs[0]
    again = first.model_copy(update={"p95_milliseconds": 77.0, "started_unix": first.started_unix + 5e6})
    found = Cells(made.model_copy(update={"runs": [*made.runs, again]}))
    name = Condition(first.profile, Way(first.protocol, first.generator))
    assert found.measure(first.configuration, name, P95)[first.block, ""] == 77.0
    assert len(found.find(first.configuration, name)) == 3


def in_sessions(made, name):
    """The results, each run of a session that the function names."""
    runs = [run.model_copy(update={"session": name(run)}) for run in made.runs]
    return made.model_copy(update={"runs": runs})


def test_runs_of_different_sessions_are_no_pairs_and_the_report_says_so(results):
    made = in_sessions(results(), lambda run: "friday" if run.configuration == "vgg16-flask" else "monday")
    page = render_page(made, {})
    tables = read_tables(page)
    row = row_of(tables["Table V: p95 response time"][0], "\N{GREEK SMALL LETTER ALPHA} 1.25, b 8")
    assert re.fullmatch(r"\d+\.\d\dx \| \d+\.\d\d to \d+\.\d\d", row[4])
    assert row[5] == "no pair | no block of a session in common"
    targets = tables["VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"][0]
    told = row_of(targets, "Memory, times less | N = 75, REST by JMeter")
    assert (told[1], told[3]) == ("no pair | no block of a session in common",) * 2
    blocks = "; ".join(f"block {block} (friday, monday)" for block in range(3))
    assert f"{blocks}: only runs of one session are paired" in page
    assert "of one session are paired" not in render_page(results(), {})


def test_an_experiment_that_went_on_has_its_whole_blocks_and_the_pairs_of_either_part_of_the_broken_one(results):
    late = {"vgg16-a125-b8", "vgg16-a50-b8"}
    made = in_sessions(
        results(blocks=4),
        lambda run: "tuesday" if run.block > 2 or (run.block == 2 and run.configuration in late) else "monday",
    )
    cells = Cells(made)
    whole, smallest, other, small = (
        made.find_configuration(f"vgg16-{name}") for name in ("a0-b32", "a125-b8", "a0-b8", "a50-b8")
    )

    def count(base, ours):
        return ratio_to(cells, base, ours, Condition("n75", REST), P95).blocks

    assert (count(whole, smallest), count(whole, other), count(small, smallest)) == (3, 4, 4)


def test_names_cannot_write_into_the_page(results):
    made = results()
    evil = '<script>alert("x")</script>'
    renamed = [each.model_copy(update={"name": evil, "weights": evil, "image": evil}) for each in made.configurations]
    runs = [run.model_copy(update={"configuration": evil, "void": evil}) for run in made.runs]
    place = made.provenance.model_copy(update={"command": evil, "hardware": evil, "conditions": {evil: evil}})
    page = render_page(
        made.model_copy(
            update={
                "configurations": renamed,
                "runs": runs,
                "provenance": place,
                "saturation": [
                    each.model_copy(update={"configuration": evil, "rule": evil}) for each in made.saturation
                ],
                "startup": [{evil: evil}],
                "scaling": [{"name": evil}],
            }
        ),
        {"scaling-1.png": b"png", "scaling-1-dark.png": b"png"},
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10


def test_the_page_asks_for_nothing_outside_of_itself(results):
    page = render_page(results(), {"size-accuracy.png": b"png", "size-accuracy-dark.png": b"dark"})
    assert not re.search(r"""(src|href|srcset)=(?!"data:|"#)""", page)
    assert "url(" not in page
    assert page.count("data:image/png;base64,") == 2


def test_an_experiment_of_nothing_still_makes_a_page(results):
    made = results()
    empty = Results(provenance=made.provenance.model_copy(update={"finished_at": None}))
    page = render_page(empty, {})
    assert "The experiment was not finished" in page
    assert "No price list was given" in page
    assert "81.58 %" in page


@pytest.mark.parametrize(
    ("estimate", "verdict", "note"),
    [
        (Estimate(7.0, 6.5, 7.5, 3), "met", ""),
        (Estimate(7.0, 5.5, 8.5, 3), "met", "not beyond the noise"),
        (Estimate(5.0, 4.5, 5.5, 3), "missed", ""),
        (Estimate(5.0, 3.5, 6.5, 3), "missed", "within the noise"),
        (Estimate(7.0, None, None, 2), "met", "no interval"),
        (None, "not run", ""),
    ],
)
def test_a_target_is_met_or_missed_and_the_noise_is_told(estimate, verdict, note):
    cell = judge_ratio(estimate, 6)
    assert (cell.text, cell.note) == (verdict, note)


def test_targets_stand_against_flask(results):
    rows = read_tables(render_page(results(), {}))["VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"][0]
    told = {row[0]: row[1:] for row in rows}
    reached, wanted, verdict = told["Memory, times less | N = 75, REST by JMeter"]
    assert (wanted, verdict) == ("at least 6x | aim 8x, paper 1.71x", "met")
    assert 11 < float(reached.split("x")[0]) < 11.3
    assert told["Failed requests | N = 250, gRPC by the Python generator"][2] == "met"
    assert told["Failed requests, all of ours | N = 250, gRPC by the Python generator"][2] == "stated"


def test_what_others_failed_is_told_beside_what_is_judged(results):
    made = results()
    runs = [
        run.model_copy(update={"failures": {"429": 3}}) if run.configuration == "vgg16-a0-b32" else run
        for run in made.runs
    ]
    page = render_page(made.model_copy(update={"runs": runs}), {})
    rows = read_tables(page)["VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"][0]
    told = {row[0]: row[1:] for row in rows}
    under = "N = 75, REST by JMeter"
    assert told[f"Failed requests | {under}"][0].startswith("0 |")
    assert told[f"Failed requests | {under}"][2] == "met"
    asked = [run for run in runs if (run.configuration, run.profile, run.protocol) == ("vgg16-a0-b32", "n75", "rest")]
    failed = 3 * sum(run.void is None for run in asked)
    assert told[f"Failed requests, all of ours | {under}"][0].startswith(f"{failed} |")


def test_pruned_channels_have_a_row_and_targets_of_their_own(results):
    tables = read_tables(render_page(results(channel_sparsity=0.5), {}))
    judged = [name for name in tables if name.startswith("VGG-16 at (1.25, 8)")]
    assert judged == [
        "VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask",
        "VGG-16 at (1.25, 8), 50 % of its channels pruned, against TensorFlow float32 behind Flask",
    ]
    plain, pruned = ({row[0]: row[1] for row in tables[name][0]} for name in judged)
    memory = "Memory, times less | N = 75, REST by JMeter"
    assert pruned[memory].split("x")[0] != plain[memory].split("x")[0]
    table_v = next(rows for name, rows in tables.items() if name.startswith("Table V: p95"))[0]
    label = "\N{GREEK SMALL LETTER ALPHA} 1.25, b 8"
    place = [row[0] for row in table_v].index(label)
    assert table_v[place][1] == "9.44 | ± 1.729"
    assert table_v[place + 1][:2] == [f"{label}, channels \N{MINUS SIGN}50 %", "\N{EN DASH}"]  # the paper has none


def saturation(name, rates, borne, **changed):
    """A search whose p95 is 2 ms for ours and 9 ms for others, up to the rate that is borne."""
    p95 = 2.0 if "a125" in name else 9.0
    steps = [
        SaturationStep(rate=rate, achieved=rate, p95_milliseconds=p95 if rate <= borne else 99 * p95) for rate in rates
    ]
    told = {"configuration": name, "protocol": "rest", "requests_per_second": borne, "rule": "r", "steps": steps}
    return Saturation(**{**told, **changed})


def test_a_side_that_was_saturated_is_marked_and_compared_at_a_rate_that_both_bear(results):
    found = [
        saturation("vgg16-a125-b8", [2, 8, 16, 32, 64, 128], 64, at_least=True),
        saturation("vgg16-flask", [2, 8, 16, 32, 22.6], 16),
    ]
    made = results().model_copy(update={"saturation": found})
    rows = read_tables(render_page(made, {}))["VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"][0]
    told = {row[0]: row[1:] for row in rows}
    less = "p95 response time, times less"
    # 10 requests a second at the peak of the one, 33 at that of the other
    assert told[f"{less} | N = 75, REST by JMeter"][2].startswith("met")
    for measure in (less, "Memory, times less", "CPU a request, times less"):
        assert told[f"{measure} | N = 250, REST by JMeter"][2] == "saturated | Flask; not judged"
    assert told[f"{less} | 16 requests/s, always, which both bear, REST"] == [
        "4.50x | 2.00 and 9.00 ms", "at least 6x | aim 8x, paper 1.8x", "missed | no interval",
    ]  # fmt: skip
    assert told["Saturation, ours | flat rates, REST"][0] == "at least 64 | requests/s"
    assert told["Saturation, Flask | flat rates, REST"][0] == "16 | requests/s"


def test_a_search_whose_unloaded_rate_was_void_marks_nothing_as_saturated(results):
    step = SaturationStep(rate=2, achieved=2, p95_milliseconds=9.0, void="the generator took too much")
    found = saturation("vgg16-flask", [], None, steps=[step])
    page = render_page(results().model_copy(update={"saturation": [found]}), {})
    tables = read_tables(page)
    rows = tables["VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"][0]
    told = {row[0]: row[1:] for row in rows}
    for profile in (75, 250):
        assert told[f"p95 response time, times less | N = {profile}, REST by JMeter"][2].startswith("met")
    assert told["Saturation, Flask | flat rates, REST"][0] == "not run"
    assert row_of(tables["The highest flat rate that was borne"][0], "vgg16-flask")[2] == "not known"
    assert "none was borne" not in page


def test_rates_that_were_borne_stand_beside_flasks_in_the_order_of_the_configurations(results):
    none = {"requests_per_second": None, "steps": [SaturationStep(rate=2, achieved=0, failures=9)]}
    found = [
        saturation("vgg16-a125-b8", [2, 8, 16, 32, 64], 64, at_least=True),
        saturation("vgg16-a0-b8", [2, 8, 16, 32], 24),
        saturation("vgg16-a50-b32", [2], 2, **none),
        saturation("vgg16-flask", [2, 8, 16], 16),
        saturation("vgg16-a125-b8", [2, 8, 16], 16, protocol="grpc"),
    ]
    page = render_page(results().model_copy(update={"saturation": found}), {})
    rows = read_tables(page)["The highest flat rate that was borne"][0]
    nothing = "\N{EN DASH}"
    assert [row[:4] for row in rows if row[1] in {"REST", "gRPC"}] == [
        ["vgg16-a50-b32", "REST", "none was borne", nothing],
        ["vgg16-a0-b8", "REST", "24", "1.50x"],
        ["vgg16-a125-b8", "REST", "at least 64", "at least 4.00x"],
        ["vgg16-a125-b8", "gRPC", "16", nothing],  # there is no Flask by gRPC
        ["vgg16-flask", "REST", "16", "1.00x"],
    ]


def test_a_side_whose_peak_takes_more_than_its_limit_is_marked_without_flat_rates(results):
    made = results()
    limited = [
        each.model_copy(update={"cpu_limit": "500m" if each.kind == "flask" else "2"}) for each in made.configurations
    ]
    page = render_page(made.model_copy(update={"configurations": limited, "saturation": []}), {})
    rows = read_tables(page)["VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"][0]
    told = {row[0]: row[3] for row in rows}
    assert told["p95 response time, times less | N = 250, REST by JMeter"] == "saturated | Flask; not judged"
    assert told["p95 response time, times less | N = 75, REST by JMeter"].startswith("met")
    assert "Flask, TensorFlow float32 would take" in page
    assert "more than its limit of 500m CPU: its response time is that of a queue" in page


def test_the_size_stands_against_the_artifact_and_against_the_baselines_files(results):
    made = results()
    with_files = [
        each.model_copy(update={"saved_model_bytes": 30 * each.artifact_bytes if each.kind == "flask" else None})
        for each in made.configurations
    ]
    table = "VGG-16 at (1.25, 8) against TensorFlow float32 behind Flask"
    beside = "Size, times smaller than the SavedModel | float32, the files on the Flask pod's disk"
    for told, expected in ((made, "not run"), (made.model_copy(update={"configurations": with_files}), None)):
        row = row_of(read_tables(render_page(told, {}))[table][0], beside)
        ours, flask = (told.find_configuration(f"vgg16-{name}") for name in ("a125-b8", "flask"))
        wanted = expected or f"{flask.saved_model_bytes / ours.artifact_bytes:.2f}x | no noise"
        assert row[1] == wanted
        assert row_of(read_tables(render_page(told, {}))[table][0], "Size, times smaller than (0, 32)")[1] != "not run"


def test_a_thousand_requests_cost_their_cpu_and_the_time_of_their_memory():
    cost = count_cost(Prices(cpu_core_hour=3.6, memory_gibibyte_hour=7.2), 20.0, 512.0, 10.0)
    assert cost.cpu == pytest.approx(20 * 3.6 / 3600)
    assert cost.memory == pytest.approx(0.5 * 100 * 7.2 / 3600)
    assert cost.whole == pytest.approx(cost.cpu + cost.memory)


def test_the_papers_numbers_are_those_that_the_builder_has():
    assert paper.ZEROS_PERCENT == published.PAPER_000_SPARSITY_PERCENT
    assert paper.MEGABYTES == published.PAPER_000_MEGABYTES
    assert paper.ACCURACY_PERCENT == published.PAPER_000_ACCURACY_PERCENT


def test_labels_are_a_gap_apart_and_near_their_lines():
    places = spread([0.50, 0.51, 0.52, 0.9], 0.06)
    assert places == pytest.approx([0.45, 0.51, 0.57, 0.9])
    assert spread([1.0, 1.0, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert spread([], 0.1) == []
