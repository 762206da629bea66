"""Which pair the local chain is to show, when the cluster is to build the same afterwards."""

import json

import pytest

from demo_cluster import __main__ as demo
from model_builder.dataset import DATA_VARIABLE, FOLDER


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A local chain that had trained the CNN before: the options of each run of it."""
    runs = []

    def run_local_chain(*options):
        runs.append(options)
        pair = "digits" if "--digits" in options else "cnn"
        rows = [{"name": f"{pair}-a125-b8"}, {"name": f"{pair}-a0-b32"}]
        (tmp_path / "results.json").write_text(json.dumps({"rows": rows}))
        return 0

    monkeypatch.setattr(demo, "LOCAL", tmp_path)
    monkeypatch.setattr(demo, "run_local_chain", run_local_chain)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    return runs


def test_the_cnn_is_shown_where_its_data_are(asked, tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "test_batch.bin").touch()
    assert demo.run_first_table() == tmp_path / FOLDER
    assert asked == [("--first-table",)]


def test_a_cnn_that_was_trained_on_data_that_are_gone_gives_way_to_the_digits(asked, capsys):
    assert demo.run_first_table() is None
    assert asked == [("--first-table",), ("--first-table", "--digits")]
    assert f"its CIFAR-10 is gone ({DATA_VARIABLE} names its folder)" in capsys.readouterr().out
