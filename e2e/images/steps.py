"""Runs the long commands of a build: output into a log, a line of progress now and then, errors in one sentence."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from images.errors import ImageError

Tell = Callable[[str], None]

QUIET_SECONDS = 5
BETWEEN_LINES_SECONDS = 15
_TAIL_BYTES = 8000


@dataclass(frozen=True)
class Steps:
    """Where the commands of a build write and whom they tell.

    Attributes:
        logs: folder with one file a step, written anew each time.
        tell: is given each line of progress.
    """

    logs: Path
    tell: Tell

    def run(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Run the command to its end; nothing is told of one that takes less than five seconds.

        Args:
            name: what the step makes, for progress, errors and the log's file name.
            command: program and arguments.
            environment: the whole environment; None is this process's.

        Raises:
            ImageError: when the program fails.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name.replace(' ', '-')}.log"
        begun = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment
            )
        try:
            self._wait(process, name, begun, log)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode != 0:
            raise ImageError(format_failure(name, log, read_tail(log)))

    def _wait(self, process: subprocess.Popen[bytes], name: str, begun: float, log: Path) -> None:
        pause: float = QUIET_SECONDS
        while True:
            try:
                process.wait(pause)
            except subprocess.TimeoutExpired:
                last = (read_tail(log).splitlines() or [""])[-1]
                self.tell(f"{name}: {time.monotonic() - begun:.0f} s: {last[:100]}")
                pause = BETWEEN_LINES_SECONDS
            else:
                break
        if pause != QUIET_SECONDS and process.returncode == 0:
            self.tell(f"{name}: done in {time.monotonic() - begun:.0f} s")


def tell_on_stderr(message: str) -> None:
    """One line of progress, beside what a program prints."""
    print(message, file=sys.stderr, flush=True)


def report_build(name: str, build: Callable[[], object], refusal: type[Exception]) -> int:
    """Print what was built; 0, or 1 with one sentence on stderr.

    Args:
        name: of the command, before the sentence.
        build: builds what is not there.
        refusal: what it raises when that cannot be done.
    """
    try:
        print(build())
    except refusal as error:
        tell_on_stderr(f"{name}: {error}")
        return 1
    except OSError as error:
        tell_on_stderr(f"{name}: {error}: free some space or mend the rights, and run again")
        return 1
    return 0


def require_program(name: str) -> None:
    """Refuse to go on without the program.

    Raises:
        ImageError: when it is not on PATH.
    """
    if shutil.which(name) is None:
        raise ImageError(f"{name} is not installed: run `scripts/bootstrap node` as root on Debian or Ubuntu")


def read_tail(log: Path) -> str:
    """The last lines of a log, without white space around them."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace").replace("\r", "\n").strip()


def format_failure(name: str, log: Path, tail: str) -> str:
    """One sentence: what failed, with the last words of its log and what to do."""
    if "no space left on device" in tail.lower():
        return f"{name} failed because the disk is full: free some space, or set XDG_CACHE_HOME to a larger disk"
    last = (tail.splitlines() or ["no output"])[-1]
    return f"{name} failed ({last}): read {log}, mend the cause and run again"
