"""How many replicas, CPUs, GPUs and threads: decided once, from what the cluster has. Knows no Ray.

The default graph fits two CPUs: what replicas reserve is a fair share of the cluster, and a fraction where it must be.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.settings.server import Settings
from segmentation.cpus import usable_cpus

INGRESS_CPUS = 0.1
ANALYZER_CPUS = 0.1
"""Of each replica: an analysis gives way to everything else, and takes what is left."""
FILL = 0.8
"""Of the CPUs, what the graph reserves at most; the rest is for Ray, and for what else runs there."""
MAX_GRID_REPLICAS = 16
MAX_DECODER_REPLICAS = 4
MAX_ANALYZER_REPLICAS = 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """CPUs and GPUs of all nodes, and the CPUs of one of them."""

    cpus: float
    gpus: float
    cpus_per_node: float


@dataclass(frozen=True, slots=True)
class Part:
    """One deployment's share.

    cpus, gpus: what each replica reserves.
    threads: CPU threads of each replica's runtime.
    device: "cuda" or "cpu".
    """

    replicas: int
    cpus: float
    gpus: float
    threads: int
    device: str


@dataclass(frozen=True, slots=True)
class Sizing:
    """The shares of all deployments."""

    encoder: Part
    decoder: Part
    grid: Part
    analyzer: Part
    ingress_cpus: float
    ingress_threads: int


def cluster_of(resources: Mapping[str, float]) -> Cluster:
    """The cluster by `ray.cluster_resources()`; this machine alone if that is empty, before Ray has started."""
    if not resources:
        cpus = float(usable_cpus())
        return Cluster(cpus, 0, cpus)
    nodes = sum(name.startswith("node:") and name != "node:__internal_head__" for name in resources)
    cpus = resources.get("CPU", 1.0)
    return Cluster(cpus, resources.get("GPU", 0.0), max(1.0, cpus / max(nodes, 1)))


def size_graph(settings: Settings, cluster: Cluster, models: int = 1) -> Sizing:
    """Shares of each of so many models for these settings on this cluster.

    One encoder per GPU, or one in all on CPUs, where it may use a whole node. Grid replicas take half of the CPUs'
    number, since masks are measured in one thread each; prompts need few decoders. What the settings fix stays.
    """
    cores = max(1, math.floor(cluster.cpus_per_node))
    wants_gpu = settings.use_gpu and (settings.encoder_gpus > 0 or cluster.gpus > 0)
    # Several models share each GPU: Ray takes hundredths of one.
    encoder_gpus = (settings.encoder_gpus or math.floor(100 / models) / 100) if wants_gpu else 0.0
    decoder_gpus = settings.decoder_gpus if settings.use_gpu else 0.0
    encoders = settings.encoder_replicas or max(1, math.floor(cluster.gpus / encoder_gpus / models) if wants_gpu else 1)
    decoders = settings.decoder_replicas or min(MAX_DECODER_REPLICAS, max(1, math.floor(cluster.cpus / 8)))
    grids = settings.grid_replicas or min(MAX_GRID_REPLICAS, max(2, math.floor(cluster.cpus / 2)))
    analyzers = min(MAX_ANALYZER_REPLICAS, max(1, math.floor(cluster.cpus / 16)))
    reserved = INGRESS_CPUS + analyzers * ANALYZER_CPUS
    share = FILL * max(cluster.cpus - reserved, 0.5) / (encoders + decoders + grids) / models

    def part(replicas: int, gpus: float, threads: int) -> Part:
        threads = settings.threads or threads
        return Part(replicas, _fraction(min(share, threads)), gpus, threads, "cuda" if gpus else "cpu")

    return Sizing(
        encoder=part(encoders, encoder_gpus, 1 if wants_gpu else cores),
        decoder=part(decoders, decoder_gpus, max(1, cores // 2) if cores > 2 else cores),
        grid=part(grids, decoder_gpus, max(1, math.floor(cluster.cpus / grids))),
        analyzer=Part(analyzers, ANALYZER_CPUS, 0.0, settings.threads or min(4, cores), "cpu"),
        ingress_cpus=INGRESS_CPUS,
        ingress_threads=min(8, max(2, cores)),
    )


def _fraction(cpus: float) -> float:
    """Ray takes fractions of a CPU below one, and whole CPUs above."""
    return math.floor(cpus) if cpus >= 1 else math.floor(cpus * 100) / 100
