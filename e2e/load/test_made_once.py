import multiprocessing
import threading
from pathlib import Path

import pytest
from cluster.made_once import make_once

WAIT_SECONDS = 60


def make_in_another_process(target, begun, go_on):
    def make(folder):
        begun.set()
        assert go_on.wait(WAIT_SECONDS)
        (folder / "program").write_text("the other's")

    make_once(target, ["program"], make, print)


def test_who_comes_while_another_makes_it_waits_and_makes_nothing(tmp_path):
    target = tmp_path / "cache" / "1234"
    context = multiprocessing.get_context("spawn")
    begun, go_on = context.Event(), context.Event()
    other = context.Process(target=make_in_another_process, args=(target, begun, go_on))
    other.start()
    try:
        assert begun.wait(WAIT_SECONDS)
        told, made = threading.Event(), []
        mine = threading.Thread(target=make_once, args=(target, ["program"], made.append, lambda _: told.set()))
        mine.start()
        assert told.wait(WAIT_SECONDS)
        assert not target.exists()
        go_on.set()
        mine.join(WAIT_SECONDS)
    finally:
        go_on.set()
        other.join(WAIT_SECONDS)
    assert made == []
    assert (target / "program").read_text() == "the other's"


def test_what_fails_leaves_nothing_and_what_was_left_half_made_is_begun_anew(tmp_path):
    target = tmp_path / "1234"

    def fail(folder):
        (folder / "half").touch()
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        make_once(target, ["program"], fail, print)
    half = Path(tmp_path, ".1234.half")
    assert not half.exists()
    half.mkdir()
    (half / "of one that was killed").touch()
    make_once(target, ["program"], lambda folder: (folder / "program").touch(), print)
    assert [path.name for path in target.iterdir()] == ["program"]
    make_once(target, ["program"], fail, print)


def test_a_folder_that_lacks_a_file_is_made_anew(tmp_path):
    target = tmp_path / "1234"
    target.mkdir()
    (target / "one").touch()
    make_once(target, ["one", "two"], lambda folder: [(folder / name).touch() for name in ("one", "two")], print)
    assert sorted(path.name for path in target.iterdir()) == ["one", "two"]
