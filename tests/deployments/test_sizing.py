"""The graph fits what it is given."""

import pytest

from deployments.settings.server import Settings
from deployments.sizing import Cluster, Sizing, cluster_of, size_graph


def reserved(sizing: Sizing) -> float:
    parts = (sizing.encoder, sizing.decoder, sizing.grid)
    return sizing.ingress_cpus + sum(part.replicas * part.cpus for part in parts)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 16, 64, 512])
def test_the_graph_fits_any_number_of_cpus(cpus: int) -> None:
    sizing = size_graph(Settings(), Cluster(cpus, 0, min(cpus, 64)))
    assert reserved(sizing) <= cpus
    for part in (sizing.encoder, sizing.decoder, sizing.grid):
        assert part.replicas >= 1
        assert part.cpus > 0
        assert 1 <= part.threads <= max(1, min(cpus, 64))
        assert (part.gpus, part.device) == (0, "cpu")


def test_a_grid_is_spread_over_all_cores() -> None:
    for cpus in (2, 4, 8, 32):
        grid = size_graph(Settings(), Cluster(cpus, 0, cpus)).grid
        assert grid.replicas >= 2
        assert grid.replicas * grid.threads == cpus


def test_gpus_get_an_encoder_each_and_decoders_stay_on_cpus() -> None:
    sizing = size_graph(Settings(), Cluster(32, 4, 32))
    assert (sizing.encoder.replicas, sizing.encoder.gpus, sizing.encoder.device) == (4, 1, "cuda")
    assert (sizing.decoder.device, sizing.grid.device) == ("cpu", "cpu")


def test_half_a_gpu_each_makes_twice_as_many_encoders() -> None:
    assert size_graph(Settings(encoder_gpus=0.5), Cluster(32, 4, 32)).encoder.replicas == 8


def test_gpus_can_be_asked_for_before_one_is_seen() -> None:
    encoder = size_graph(Settings(encoder_gpus=1), Cluster(8, 0, 8)).encoder
    assert (encoder.replicas, encoder.gpus, encoder.device) == (1, 1, "cuda")


def test_gpus_are_left_alone_when_told_so() -> None:
    sizing = size_graph(Settings(use_gpu=False, encoder_gpus=1, decoder_gpus=1), Cluster(8, 2, 8))
    assert {part.gpus for part in (sizing.encoder, sizing.decoder, sizing.grid)} == {0}


def test_decoders_go_to_gpus_when_asked() -> None:
    sizing = size_graph(Settings(decoder_gpus=0.1), Cluster(8, 1, 8))
    assert (sizing.grid.gpus, sizing.grid.device, sizing.decoder.device) == (0.1, "cuda", "cuda")


def test_what_the_settings_fix_stays() -> None:
    settings = Settings(encoder_replicas=3, decoder_replicas=5, grid_replicas=7, threads=2)
    sizing = size_graph(settings, Cluster(16, 0, 16))
    parts = (sizing.encoder, sizing.decoder, sizing.grid)
    assert [part.replicas for part in parts] == [3, 5, 7]
    assert {part.threads for part in parts} == {2}
    assert reserved(sizing) <= 16


def test_rays_resources_are_understood() -> None:
    head = {"node:10.0.0.1": 1.0, "node:__internal_head__": 1.0}
    assert cluster_of({"CPU": 12.0, "GPU": 1.0, "node:10.0.0.2": 1.0, **head}) == Cluster(12, 1, 6)
    assert cluster_of({}).cpus >= 1
