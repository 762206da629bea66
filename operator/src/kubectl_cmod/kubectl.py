"""kubectl, which is asked for everything. The only file that runs a program."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NoReturn

Object = Mapping[str, Any]

PROGRAM_VARIABLE: Final = "KUBECTL"
_KNOWN_PROGRAMS: Final = (("kubectl",), ("microk8s", "kubectl"), ("k3s", "kubectl"))
_ASKED_AT_ONCE: Final = 6
_LOGGED: Final = re.compile(r"[IWEF][0-9]{4} ")
_TIMEOUT_OPTION: Final = "--request-timeout"
REQUEST_SECONDS: Final = 10
"""What kubectl is given for one request, unless the user states another time."""
ANSWER_SECONDS: Final = 30
"""kubectl asks again where a request was not answered; after this long it is ended."""


class PluginError(Exception):
    """What kept the command from its work, in one sentence or in kubectl's own words."""


class Kubectl:
    """kubectl with the user's choice of cluster and user.

    Attributes:
        everywhere: whether lists are of all namespaces.
    """

    def __init__(self, options: Sequence[str], namespace: str, *, everywhere: bool = False) -> None:
        """Run nothing yet.

        Args:
            options: of kubectl's own, such as --context=press; with a --request-timeout, that alone bounds a question.
            namespace: empty: the context's.
            everywhere: lists are of all namespaces.

        Raises:
            PluginError: when there is no kubectl.
        """
        stated = any(option.startswith(_TIMEOUT_OPTION) for option in options)
        self._command = [*find_program(), *options]
        self._bounds = () if stated else (f"{_TIMEOUT_OPTION}={REQUEST_SECONDS}s",)
        self._answer_seconds = None if stated else ANSWER_SECONDS
        self._namespace = [f"--namespace={namespace}"] if namespace else []
        self.everywhere = everywhere

    def read(self, *arguments: str) -> Object:
        """The object, or the list, that `kubectl get …` gives.

        Raises:
            PluginError: in kubectl's words.
        """
        where = ["--all-namespaces"] if self.everywhere else self._namespace
        done = self._run("get", *arguments, *where, "--output=json")
        if done.returncode != 0:
            raise PluginError(
                parse_words(done.stderr) or f"kubectl get {' '.join(arguments)}: exit code {done.returncode}"
            )
        found: Object = json.loads(done.stdout)
        return found

    def read_list(self, *arguments: str) -> tuple[Object, ...]:
        """The items that `kubectl get …` gives."""
        return tuple(self.read(*arguments).get("items") or ())

    def read_lists(self, *questions: Sequence[str]) -> list[tuple[Object, ...]]:
        """The items of each question, asked at once."""
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            return list(pool.map(lambda question: self.read_list(*question), questions))

    def read_log(self, pod: str, container: str, lines: int, *, previous: bool = False) -> str:
        """The end of a container's log; empty where there is none."""
        options = [f"--container={container}", f"--tail={lines}", *(["--previous"] if previous else [])]
        done = self._run("logs", pod, *options, *self._namespace)
        return done.stdout if done.returncode == 0 else ""

    def become(self, *arguments: str) -> NoReturn:
        """Go on as kubectl, which then has the terminal."""
        command = [*self._command, *arguments, *self._namespace]
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._command, *arguments, *self._bounds]
        try:
            return subprocess.run(command, check=False, capture_output=True, text=True, timeout=self._answer_seconds)
        except subprocess.TimeoutExpired as error:
            raise PluginError(
                f"kubectl {' '.join(arguments[:2])} has no answer after {ANSWER_SECONDS} s: see whether the API server "
                f"can be reached (kubectl version), or give it longer by {_TIMEOUT_OPTION}"
            ) from error
        except OSError as error:
            raise PluginError(f"{self._command[0]} cannot be run ({error.strerror}): install kubectl") from error


def parse_words(errors: str) -> str:
    """What kubectl says of an error, without the lines of its log that stand before."""
    return "\n".join(line for line in errors.splitlines() if not _LOGGED.match(line)).strip()


def find_program() -> list[str]:
    """The command of kubectl: that of the variable KUBECTL, or the first that is installed.

    Raises:
        PluginError: when there is none.
    """
    stated = os.environ.get(PROGRAM_VARIABLE)
    if stated:
        return shlex.split(stated)
    for known in _KNOWN_PROGRAMS:
        if shutil.which(known[0]):
            return list(known)
    raise PluginError(f"there is no kubectl on the PATH: install it, or name it in the variable {PROGRAM_VARIABLE}")
