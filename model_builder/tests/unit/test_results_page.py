"""docs/results.md says what docs/results/runs.jsonl says."""

import re
from pathlib import Path

from model_builder.commands import format_command
from model_builder.reproduce.page import format_marker, replace_tables
from model_builder.reproduce.records import read_records
from model_builder.reproduce.studies import plan_study
from model_builder.reproduce.tables import render_study

DOCS = Path(__file__).parents[3] / "docs"
MARKER = re.compile(r"<!-- reproduce (\w+)( --quick)? -->\n")


def test_every_table_of_the_page_is_what_its_command_writes():
    page = (DOCS / "results.md").read_text()
    records = read_records(DOCS / "results")
    found = [(study, bool(quick)) for study, quick in MARKER.findall(page)]
    assert {study for study, _ in found} == {"paper000", "paper004", "readings", "best", "short"}
    for study, quick in found:
        tables = render_study(study, plan_study(study, quick=quick), records, format_command(study, quick=quick))
        assert replace_tables(page, format_marker(study, quick=quick), tables) == page


def test_every_accuracy_of_the_page_is_on_data_that_it_names():
    page = (DOCS / "results.md").read_text()
    for record in read_records(DOCS / "results"):
        assert record.dataset.name.startswith("CIFAR-10, re-encoded copy")
    assert "CIFAR-10, re-encoded once as JPEG" in page
