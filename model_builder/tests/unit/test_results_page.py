"""docs/results.md says what docs/results/runs.jsonl says."""

import re
from pathlib import Path

from model_builder.arguments import make_parser
from model_builder.commands import format_command
from model_builder.reproduce.page import format_marker, replace_tables
from model_builder.reproduce.records import read_records
from model_builder.reproduce.studies import Part, plan_study
from model_builder.reproduce.tables import render_study

DOCS = Path(__file__).parents[3] / "docs"
MARKER = re.compile(r"<!-- reproduce (.+) -->\n")


def read_part(arguments: str) -> Part:
    options = make_parser().parse_args(["reproduce", *arguments.split(), "-o", "DIR"])
    return Part(options.study, options.quick, options.epochs)


def test_every_table_of_the_page_is_what_its_command_writes():
    page = (DOCS / "results.md").read_text()
    records = read_records(DOCS / "results")
    parts = [read_part(arguments) for arguments in MARKER.findall(page)]
    assert {part.study for part in parts} == {"paper000", "paper004", "readings", "best"}
    for part in parts:
        tables = render_study(part.study, plan_study(part), records, format_command(part))
        assert replace_tables(page, format_marker(part), tables) == page


def test_every_accuracy_of_the_page_is_on_data_that_it_names():
    page = (DOCS / "results.md").read_text()
    for record in read_records(DOCS / "results"):
        assert record.dataset.name.startswith("CIFAR-10, re-encoded copy")
    assert "CIFAR-10, re-encoded once as JPEG" in page
