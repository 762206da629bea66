"""`python -m load.report RESULTS.json [-o FOLDER]`: the report of an experiment, as report.html with its pictures."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from load.report.writing import write_report
from load.results import ResultsError
from load.samples import SamplesError


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and print where it is; 2 when the results cannot be read."""
    parser = argparse.ArgumentParser(prog="load.report", description="The report of a load experiment.")
    parser.add_argument("results", type=Path, help="results.json; its samples lie beside it")
    parser.add_argument("-o", "--output", type=Path, help="folder to write into (default: report, beside the results)")
    options = parser.parse_args(arguments)
    try:
        page = write_report(options.results, options.output or options.results.parent / "report")
    except (ResultsError, SamplesError) as error:
        print(error, file=sys.stderr)
        return 2
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
