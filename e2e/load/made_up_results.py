"""For tests alone: a folder of results that nobody measured, of numbers drawn by a seed."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from load.profiles import PROFILES, USER_SECONDS, Profile, flat, plan_arrivals
from load.report.paper import SETTINGS
from load.results import (
    Agreement,
    Configuration,
    Generator,
    Network,
    Prices,
    ProfileTold,
    PrometheusKpis,
    Protocol,
    Provenance,
    Results,
    Run,
    Saturation,
    SaturationStep,
    write_results,
)
from load.samples import make_samples, summarise, write_samples

_TRUTH = {
    "modelpress": {32: (11.0, 165.0, 9.0), 8: (2.6, 62.0, 2.1)},
    "flask": {32: (24.0, 690.0, 19.0)},
}
"""p95 in ms, MiB, CPU ms a request, as if; by kind and bits."""
_ZEROS = {0.0: 0.4, 0.5: 37.9, 1.25: 74.8}
_NETWORK_PART = {"vgg16": 1.0, "cnn": 0.35, "digits": 0.2}


@dataclass(frozen=True)
class MadeUp:
    """What is to be made up.

    Attributes:
        networks: with six configurations and a Flask pod each.
        blocks: of every cell.
        noise: standard deviation of a block's factor, as a logarithm.
        profiles: of every cell, by name.
        ways: protocols and generators.
        seconds: of a profile.
        factor: all times and CPU are multiplied by it.
        seed: of everything.
        with_samples: whether files of samples are written.
        hardware: of the machine, as if.
        channel_sparsity: of one configuration more of each network; 0: there is none.
    """

    networks: tuple[Network, ...] = ("vgg16", "cnn")
    blocks: int = 3
    noise: float = 0.03
    profiles: tuple[str, ...] = ("n75", "n250")
    ways: tuple[tuple[Protocol, Generator], ...] = (("rest", "jmeter"), ("grpc", "python"))
    seconds: float = 120.0
    factor: float = 1.0
    seed: int = 1
    with_samples: bool = True
    hardware: str = "Made-up processor"
    channel_sparsity: float = 0.0


def make_results(folder: Path, wanted: MadeUp) -> Path:
    """Write results.json with its samples; returns its path."""
    source = np.random.default_rng(wanted.seed)
    configurations = [
        each for network in wanted.networks for each in make_configurations(network, wanted.channel_sparsity)
    ]
    profiles = [profile.lasting(wanted.seconds) for name, profile in PROFILES.items() if name in wanted.profiles]
    runs = [
        _make_run(folder, wanted, _Cell(made, profile, way[0], way[1], block), source)
        for block in range(wanted.blocks)
        for made, profile, way in product(configurations, profiles, wanted.ways)
        if made.kind != "flask" or way[0] == "rest"
    ]
    results = Results(
        provenance=make_provenance(wanted),
        profiles=[tell_profile(profile) for profile in profiles],
        prices=Prices(cpu_core_hour=0.04, memory_gibibyte_hour=0.005, source="made up"),
        configurations=configurations,
        runs=runs,
        saturation=[
            _make_saturation(made, protocol)
            for made in configurations
            for protocol, _ in wanted.ways
            if made.kind != "flask" or protocol == "rest"
        ],
    )
    path = folder / "results.json"
    write_results(path, results)
    return path


def make_provenance(wanted: MadeUp) -> Provenance:
    """Of a machine that is none."""
    return Provenance(
        command="modelpress-bench run --made-up",
        started_at="2026-01-02T03:04:05Z",
        finished_at="2026-01-02T05:04:05Z",
        commit="0" * 40,
        dirty=False,
        seed=wanted.seed,
        hardware=wanted.hardware,
        cores=2,
        memory_gi_b=8.0,
        kernel="6.0",
        versions={"jmeter": "5.6.3", "kubernetes": "1.34", "python": "3.11"},
        cluster="embedded node",
        data="CIFAR-10",
        conditions={"limits": "2 CPU and 2 GiB a pod"},
    )


def tell_profile(profile: Profile) -> ProfileTold:
    """As results tell it."""
    return ProfileTold(
        name=profile.name,
        users=round(profile.users),
        seconds=profile.seconds,
        user_seconds=USER_SECONDS,
        points=profile.points(),
        peak_requests_per_second=profile.peak_requests_per_second,
    )


def make_configurations(network: Network, channel_sparsity: float = 0.0) -> list[Configuration]:
    """The six settings and a Flask pod; the small network is trained."""
    weights = int(33_600_000 * _NETWORK_PART[network] ** 2)
    ours = [
        Configuration(
            name=f"{network}-a{100 * alpha:g}-b{bits}",
            network=network,
            alpha=alpha,
            bits=bits,
            kind="modelpress",
            trained=network != "vgg16" or bits == 8,
            quality_percent=90.5 - alpha - (32 - bits) / 40 if network != "vgg16" or bits == 8 else None,
            zeros_percent=_ZEROS[alpha],
            artifact_bytes=int(4 * weights * (bits / 32) * (1 - 0.9 * _ZEROS[alpha] / 100)),
            uncompressed_bytes=4 * weights,
            bits_per_weight=bits * (1 - 0.9 * _ZEROS[alpha] / 100),
            entropy_bits_per_weight=bits * (1 - 0.92 * _ZEROS[alpha] / 100),
            cpu_limit="2",
            memory_limit="2Gi",
        )
        for alpha, bits in SETTINGS
    ]
    flask = Configuration(
        name=f"{network}-flask",
        network=network,
        alpha=0.0,
        bits=32,
        kind="flask",
        trained=network != "vgg16",
        artifact_bytes=4 * weights,
        cpu_limit="2",
        memory_limit="2Gi",
    )
    if channel_sparsity:
        less = {"name": f"{ours[-1].name}-c{100 * channel_sparsity:g}", "channel_sparsity": channel_sparsity}
        ours.append(ours[-1].model_copy(update=less))
    return [*ours, flask]


@dataclass(frozen=True)
class _Cell:
    made: Configuration
    profile: Profile
    protocol: Protocol
    generator: Generator
    block: int


def _make_run(folder: Path, wanted: MadeUp, cell: _Cell, source: np.random.Generator) -> Run:
    made, profile, protocol, block = cell.made, cell.profile, cell.protocol, cell.block
    p95, memory, cpu = (_NETWORK_PART[made.network] * value for value in _TRUTH[made.kind][made.bits])
    slow = wanted.factor * float(np.exp(source.normal(0.0, wanted.noise)))
    samples, name = _make_samples(profile, slow * p95 * (0.8 if protocol == "grpc" else 1.0), source), ""
    if wanted.with_samples:
        name = f"samples/{made.name}-{profile.name}-{protocol}-{block}.csv.gz"
        write_samples(samples, folder / name)
    told = summarise(samples, profile.seconds)
    cpu *= wanted.factor * float(np.exp(source.normal(0.0, wanted.noise / 3)))
    found = PrometheusKpis(
        p95_latency_milliseconds=None if made.kind == "flask" else (told.p95_milliseconds or 0.0) * 0.93,
        cpu_millicores=cpu * told.requests_per_second,
        working_set_mebibytes=memory + float(source.normal(0.0, 0.5)),
        cpu_milliseconds_per_request=cpu,
        requests=float(told.requests),
        requests_per_second=told.requests_per_second,
    )
    begun = 1_760_000_000.0 + 1_000.0 * block
    return Run(
        configuration=made.name,
        profile=profile.name,
        protocol=protocol,
        generator=cell.generator,
        block=block,
        started_unix=begun,
        ended_unix=begun + profile.seconds,
        samples=name,
        requests=told.requests,
        failures=told.failures,
        requests_per_second=told.requests_per_second,
        p50_milliseconds=told.p50_milliseconds,
        p95_milliseconds=told.p95_milliseconds,
        p99_milliseconds=told.p99_milliseconds,
        generator_cpu_seconds=8.0,
        node_cpu_seconds=60.0,
        generator_share_percent=3.3,
        prometheus=found,
        agreement=[] if made.kind == "flask" else _make_agreement(found, told.p95_milliseconds or 0.0, source),
    )


def _make_agreement(found: PrometheusKpis, p95: float, source: np.random.Generator) -> list[Agreement]:
    within = bool(source.random() > 0.02)
    requests = found.requests or 0.0
    return [
        Agreement(
            kpi="p95LatencyMilliseconds",
            sources={"client": p95, "prometheus": found.p95_latency_milliseconds, "operator": p95 * 0.94},
            within=within,
            tolerance="the server's p95 is no longer than the client's and not under half of it",
        ),
        Agreement(
            kpi="requests",
            sources={"client": requests, "prometheus": requests, "operator": None},
            within=True,
            tolerance="within one per cent",
        ),
    ]


def _make_samples(profile: Profile, p95: float, source: np.random.Generator) -> Any:
    due = plan_arrivals(profile, int(source.integers(1 << 30)))
    waits = p95 * np.exp(source.normal(-0.35, 0.21, len(due)) + 0.4 * (source.random(len(due)) > 0.99))
    fails = source.random(len(due)) < (0.002 if p95 > 20 else 0.0)
    return make_samples(
        (float(moment), float(moment), float(wait), "503" if failed else "200", not failed)
        for moment, wait, failed in zip(due, waits, fails, strict=True)
    )


def _make_saturation(made: Configuration, protocol: Protocol) -> Saturation:
    p95 = _NETWORK_PART[made.network] * _TRUTH[made.kind][made.bits][0] * (0.8 if protocol == "grpc" else 1.0)
    most = 1_100 / p95
    steps = []
    for rate in most * np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1.1]):
        load = min(float(rate) / most, 0.97)
        steps.append(
            SaturationStep(
                rate=flat(float(rate), 1.0).peak_requests_per_second,
                achieved=min(float(rate), most),
                p95_milliseconds=p95 / (1 - load) ** 0.6,
                failures=5 if rate > most else 0,
            )
        )
    borne = [step.rate for step in steps if not step.failures and (step.p95_milliseconds or 0) < 3 * p95]
    return Saturation(
        configuration=made.name, protocol=protocol, requests_per_second=max(borne), rule="made up", steps=steps
    )
