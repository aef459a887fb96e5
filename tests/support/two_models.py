"""One service over two graphs in this process: the models `tiny`, the default, and `other`."""

from dataclasses import replace

from local_graph import PLAN, LocalGraph

from deployments.http.model_service import ModelConfig, ModelRemotes
from deployments.http.service import Service
from deployments.telemetry.events import EmitEvent, discard

OTHER = replace(PLAN, source="other", spec=replace(PLAN.spec, name="other", licence="MIT", family="medsam"))


def two_models(graph: LocalGraph, other: LocalGraph, emit: EmitEvent = discard) -> Service:
    """The service with the settings of `graph`."""
    alone = graph.service.config
    settings = replace(alone.settings, models=("tiny", "other"))
    config = replace(alone, settings=settings, others=(ModelConfig(OTHER, alone.sizing),))
    remotes = {"other": ModelRemotes(other.encoder, other.decoder, other.grid)}
    return Service(config, graph.encoder, graph.decoder, graph.grid, graph.analyzer, emit, others=remotes)
