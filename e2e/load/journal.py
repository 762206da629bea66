"""The results of an experiment on disk while it runs: each run is there, whole, as soon as it is over.

Begun again with the same arguments, an experiment goes on where it was ended. What was measured under other conditions
is never mixed with it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from load.measuring import Key
from load.profiles import USER_SECONDS, Profile
from load.provenance import read_now
from load.results import (
    Configuration,
    Prices,
    ProfileTold,
    Protocol,
    Provenance,
    Results,
    ResultsError,
    Run,
    Saturation,
    read_results,
    write_results,
)

MOST_TRIES = 2
"""A void run is repeated once."""
_OF_THE_MACHINE = ("hardware", "cores", "kernel", "cluster", "data", "seed")


class Journal:
    """The file, and what it holds.

    Attributes:
        results: what the file holds.
    """

    def __init__(self, path: Path, provenance: Provenance, prices: Prices) -> None:
        """Go on with the file, or begin it.

        Raises:
            ResultsError: when it holds something else, or what was measured under other conditions.
        """
        self._path = path
        if path.exists():
            self.results = read_results(path)
            require_same(path, self.results.provenance, provenance)
            self.results.provenance.finished_at = None
        else:
            self.results = Results(provenance=provenance)
        self.results.prices = prices
        self._write()

    @property
    def folder(self) -> Path:
        """Where the file and its samples are."""
        return self._path.parent

    def has(self, key: Key) -> bool:
        """Whether the run needs no more tries: one counts, or all were void."""
        tries = [run.void for run in self.results.runs if _key_of(run) == key]
        return None in tries or len(tries) >= MOST_TRIES

    def has_saturation(self, configuration: str, protocol: Protocol) -> bool:
        """Whether the rate of saturation is known."""
        return any((each.configuration, each.protocol) == (configuration, protocol) for each in self.results.saturation)

    def note_profiles(self, profiles: Sequence[Profile]) -> None:
        """Tell the profiles.

        Raises:
            ResultsError: when one of that name was another.
        """
        for profile in profiles:
            told = ProfileTold(
                name=profile.name,
                users=round(profile.users),
                seconds=profile.seconds,
                user_seconds=USER_SECONDS,
                points=profile.points(),
                peak_requests_per_second=profile.peak_requests_per_second,
            )
            known = next((each for each in self.results.profiles if each.name == told.name), None)
            if known is not None and known != told:
                raise ResultsError(
                    f"{self._path} holds runs of {told.name} over {known.seconds:g} s instead of {told.seconds:g}:"
                    " name another folder with -o"
                )
            if known is None:
                self.results.profiles.append(told)
        self._write()

    def note_configurations(self, configurations: Sequence[Configuration]) -> None:
        """Tell what was deployed.

        Raises:
            ResultsError: when one of that name was something else, so that its runs cannot be put together.
        """
        for told in configurations:
            known = self.results.find_configuration(told.name)
            if known is None:
                self.results.configurations.append(told)
            elif (known.image, known.weights, known.cpu_limit, known.memory_limit) != (
                (told.image, told.weights, told.cpu_limit, told.memory_limit)
            ):
                raise ResultsError(
                    f"{self._path} holds runs of {told.name} with another image, other weights or limits:"
                    " name another folder with -o"
                )
        self._write()

    def note_versions(self, **versions: str) -> None:
        """Tell what a generator says of itself."""
        self.results.provenance.versions |= versions

    def add_run(self, run: Run) -> None:
        """Add one."""
        self.results.runs.append(run)
        self._write()

    def add_saturation(self, saturation: Saturation) -> None:
        """Add one."""
        self.results.saturation.append(saturation)
        self._write()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self.results.provenance.finished_at = read_now()
        self._write()

    def _write(self) -> None:
        write_results(self._path, self.results)


def _key_of(run: Run) -> Key:
    return Key(run.configuration, run.profile, run.protocol, run.block)


def require_same(path: Path, old: Provenance, new: Provenance) -> None:
    """Refuse to add to what was measured under other conditions.

    Raises:
        ResultsError: naming the first that differs.
    """
    pairs = [(field, getattr(old, field), getattr(new, field)) for field in _OF_THE_MACHINE]
    named = sorted(old.conditions.keys() | new.conditions.keys())
    pairs += [(name, old.conditions.get(name), new.conditions.get(name)) for name in named]
    for name, before, now in pairs:
        if before != now:
            raise ResultsError(f"{path} was measured with {name} {before!r}, not {now!r}: name another folder with -o")


def count_failures(runs: Sequence[Run]) -> Counter[str]:
    """Failures by status, of runs that count."""
    found: Counter[str] = Counter()
    for run in runs:
        if run.void is None:
            found.update(run.failures)
    return found
