"""The results of an experiment on disk while it runs: each run is there, whole, as soon as it is over.

Begun again with the same arguments, an experiment goes on where it was ended. What was measured under other conditions
is never mixed with it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from load.measuring import Key
from load.profiles import USER_SECONDS, Profile
from load.provenance import EXAMPLE_PRICES, read_now, read_prices
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
    Trouble,
    read_results,
    write_results,
)
from load.saturation import is_known

MOST_TRIES = 2
"""A void run is repeated once."""
_OF_THE_MACHINE = ("hardware", "cores", "kernel", "cluster", "seed")
_OF_RUNS = ("data",)
_OF_ALL = ("cpuLimit", "memoryLimit")
"""The conditions of a scenario that must be those of the runs beside it."""


class Journal:
    """The file, and what it holds.

    Attributes:
        results: what the file holds.
        session: when the command began that adds to it.
    """

    def __init__(
        self, path: Path, provenance: Provenance, prices: Prices | None = None, *, scenarios: bool = False
    ) -> None:
        """Go on with the file, or begin it.

        Runs and scenarios stand in one file if they are of one machine; a scenario's conditions are its own.

        Args:
            path: of the file.
            provenance: of this time.
            prices: None: those that the file has, or else the example's.
            scenarios: whether scenarios are added, and no runs.

        Raises:
            ResultsError: when it holds something else, or what was measured under other conditions.
        """
        self._path = path
        self.session = provenance.started_at
        if path.exists():
            self.results = read_results(path)
            has_runs = bool(self.results.runs or self.results.saturation)
            require_same(path, self.results.provenance, provenance, of_runs=has_runs and not scenarios)
            if not has_runs and not scenarios:
                self.results.provenance = provenance
            elif not scenarios:
                self.results.provenance.finished_at = None
        else:
            self.results = Results(provenance=provenance)
        if prices is not None:
            self.results.prices = prices
        elif self.results.prices == Prices():
            self.results.prices = read_prices(EXAMPLE_PRICES)
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
        asked = configuration, protocol
        return any((each.configuration, each.protocol) == asked and is_known(each) for each in self.results.saturation)

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
                raise _refuse(self._path, told.name)
        self._write()

    def require_alike(self, name: str, *, image: str, digest: str | None) -> None:
        """See the function of that name.

        Raises:
            ResultsError: likewise.
        """
        require_alike(self._path, self.results, name, image=image, digest=digest)

    def note_versions(self, **versions: str) -> None:
        """Tell what a generator says of itself."""
        self.results.provenance.versions |= versions

    def add_run(self, run: Run) -> None:
        """Add one, of this session."""
        self.results.runs.append(run.model_copy(update={"session": self.session}))
        self._write()

    def add_trouble(self, of: str, error: str, *, again: bool) -> None:
        """Tell of a try that ended in an error."""
        self.results.troubles.append(Trouble(at=read_now(), of=of, error=error, again=again))
        self._write()

    def require_flat_rates(self, seconds: float) -> None:
        """Refuse to put rates of saturation beside others that were searched by shorter or longer flat rates.

        Raises:
            ResultsError: when those that the file holds were.
        """
        for each in self.results.saturation:
            if each.seconds is not None and each.seconds != seconds:
                raise ResultsError(
                    f"{self._path} holds rates of saturation by flat rates of {each.seconds:g} s instead of"
                    f" {seconds:g}: name another folder with -o"
                )

    def add_saturation(self, saturation: Saturation) -> None:
        """Add one, in place of a search that says nothing."""
        told = saturation.configuration, saturation.protocol
        kept = [
            each for each in self.results.saturation if (each.configuration, each.protocol) != told or is_known(each)
        ]
        self.results.saturation = [*kept, saturation]
        self._write()

    def has_scaling(self, name: str) -> bool:
        """Whether the scenario of that name is known, and counts or was void each time."""
        return any(entry.get("name") == name for entry in self.results.scaling)

    def add_scaling(self, entry: dict[str, Any]) -> None:
        """Add a scenario, as `report.scaling` reads it."""
        self.results.scaling.append(entry)
        self._write()

    def put_startup(self, entries: Sequence[dict[str, Any]]) -> None:
        """Have these starts, which hold what was known before."""
        self.results.startup = list(entries)
        self._write()

    def put_density(self, entries: Sequence[dict[str, Any]]) -> None:
        """Have these counts of models, which hold what was known before."""
        self.results.density = list(entries)
        self._write()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self.results.provenance.finished_at = read_now()
        self._write()

    def _write(self) -> None:
        write_results(self._path, self.results)


def _key_of(run: Run) -> Key:
    return Key(run.configuration, run.profile, run.protocol, run.block)


def require_alike(path: Path, results: Results, name: str, *, image: str, digest: str | None) -> None:
    """Refuse, before anything is deployed, to go on with runs of another image or of other trained weights.

    Args:
        path: of the results.
        results: what it holds.
        name: of the configuration.
        image: that its server is to have; empty: not known yet.
        digest: of the trained artifact that it is to serve; None: it is not trained.

    Raises:
        ResultsError: when those that the file holds were others.
    """
    known = results.find_configuration(name)
    if known is None:
        return
    other_weights = known.trained if digest is None else digest not in known.weights
    if other_weights or (image and known.image != image):
        raise _refuse(path, name)


def _refuse(path: Path, name: str) -> ResultsError:
    return ResultsError(
        f"{path} holds runs of {name} with another image, other weights or limits: name another folder with -o"
    )


def require_same(path: Path, old: Provenance, new: Provenance, *, of_runs: bool = True) -> None:
    """Refuse to add to what was measured under other conditions.

    Args:
        path: of the results.
        old: of what it holds.
        new: of what would be added.
        of_runs: whether all conditions must be the same, or those alone that a scenario shares.

    Raises:
        ResultsError: naming the first that differs.
    """
    fields = (*_OF_THE_MACHINE, *(_OF_RUNS if of_runs else ()))
    pairs = [(field, getattr(old, field), getattr(new, field)) for field in fields]
    named = sorted(old.conditions.keys() | new.conditions.keys()) if of_runs else _OF_ALL
    pairs += [(name, old.conditions.get(name), new.conditions.get(name)) for name in named]
    for name, before, now in pairs:
        if before != now:
            raise ResultsError(f"{path} was measured with {name} {before!r}, not {now!r}: name another folder with -o")


def find_missing(results: Results, planned: Sequence[Key]) -> list[Key]:
    """The planned runs of which none counts: they are not there, or each was void."""
    counted = {_key_of(run) for run in results.runs if run.void is None}
    return [key for key in planned if key not in counted]


def count_failures(runs: Sequence[Run]) -> Counter[str]:
    """Failures by status, of runs that count."""
    found: Counter[str] = Counter()
    for run in runs:
        if run.void is None:
            found.update(run.failures)
    return found
