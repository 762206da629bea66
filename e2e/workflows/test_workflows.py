"""The workflows by actionlint and by the project's own rules. None of them was run: there is no GitHub here."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from images.steps import tell_on_stderr
from load.arguments import make_parser, make_plan
from load.estimating import expect
from load.report.bootstrap import FEWEST_BLOCKS

from workflows.actionlint import MODULE, read_complaints

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
BUILDING_MINUTES = 90
NAMES = ("ci", "cluster", "microk8s", "nightly-load")
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


@pytest.fixture(scope="session")
def actionlint():
    """The program."""
    return MODULE.build_program(tell_on_stderr)


@pytest.fixture(params=NAMES)
def text(request):
    """Each workflow in turn."""
    return (FOLDER / f"{request.param}.yaml").read_text()


def steps_of(workflow):
    """Every step of every job."""
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_these_are_all_of_them():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{name}.yaml" for name in NAMES)


def test_actionlint_has_no_complaint(text, actionlint):
    assert read_complaints(actionlint, text) == ""


@pytest.mark.parametrize(
    ("of", "becomes", "words"),
    [
        ("runs-on:", "runs-one:", 'unexpected key "runs-one"'),
        ("hashFiles(", "hashFile(", 'undefined function "hashFile"'),
        ("github.ref }}", "github.reff }}", 'property "reff" is not defined'),
    ],
)
def test_a_mistake_would_be_found(of, becomes, words, actionlint):
    text = (FOLDER / "cluster.yaml").read_text()
    assert of in text
    assert words in read_complaints(actionlint, text.replace(of, becomes, 1))


def test_actions_are_pinned_by_commit_and_name_their_release(text):
    uses = re.findall(r"uses: (.+)", text)
    assert uses
    assert [each for each in uses if not PINNED.fullmatch(each)] == []


def test_rights_times_and_runs_at_once_are_bounded(text):
    workflow = yaml.safe_load(text)
    # Reading is all that any of them may.
    assert workflow["permissions"]["contents"] == "read"
    assert set(workflow["permissions"].values()) == {"read"}
    assert "group" in workflow["concurrency"]
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert 0 < job["timeout-minutes"] <= 360
    for step in steps_of(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_scripts_are_shell_without_expressions_in_them(text):
    scripts = [step["run"] for step in steps_of(yaml.safe_load(text)) if "run" in step]
    for script in scripts:
        parsed = subprocess.run(["bash", "-n"], input=script, check=False, capture_output=True, text=True)
        assert (parsed.returncode, parsed.stderr) == (0, ""), script
        # What others may write, such as a branch's name, would be run as a program.
        assert set(re.findall(r"\$\{\{ *(\w+)", script)) <= {"matrix"}


def test_what_they_run_is_there(text):
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    script = "\n".join(step.get("run", "") for step in steps_of(yaml.safe_load(text)))
    assert set(re.findall(r"\bmake (?:--silent )?([a-z0-9-]+)", script)) <= targets
    for module in re.findall(r"-m (\w[\w.]*)", script):
        path = ROOT / "e2e" / module.replace(".", "/")
        assert module == "pytest" or path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for path in re.findall(r"(?<= )((?:e2e|charts|examples|scripts)/[\w./-]+)", script):
        assert (ROOT / path).exists(), path


def test_the_nights_load_fits_into_its_time():
    workflow = yaml.safe_load((FOLDER / "nightly-load.yaml").read_text())
    (job,) = workflow["jobs"].values()
    (given,) = re.findall(r'make e2e-load[ \\\n]+ARGS="(.*?)"', "".join(step.get("run", "") for step in job["steps"]))
    options = make_parser().parse_args(["run", *given.split()])
    expected = expect(make_plan(options), options.rest_generator)
    assert expected.runs >= 6 * FEWEST_BLOCKS
    # programs and images are built before it where none are kept, and some runs are void and made once more
    assert BUILDING_MINUTES + 1.15 * expected.seconds / 60 <= job["timeout-minutes"], expected


def test_the_night_leaves_nothing_of_roots_and_keeps_no_volumes():
    (job,) = yaml.safe_load((FOLDER / "nightly-load.yaml").read_text())["jobs"].values()
    steps = job["steps"]
    (loads,) = [number for number, step in enumerate(steps) if "make e2e-load" in step.get("run", "")]
    after = steps[loads + 1]
    assert after["if"] == "always()"
    assert re.search(r"make cluster-down\n *sudo chown -R \S+ \. ", after["run"])
    # nothing is done by root after it
    assert not [step for step in steps[loads + 2 :] if "sudo" in step.get("run", "")]
    (kept,) = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    assert kept.split() == ["build/e2e-load/results.json", "build/e2e-load/report"]


def test_the_page_says_of_each_that_it_was_not_run():
    rows = re.findall(
        r"^\| `([\w-]+)\.yaml` \|.*\*written, not run here\*", (ROOT / "docs" / "ci.md").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted(NAMES)
