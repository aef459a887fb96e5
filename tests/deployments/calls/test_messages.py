"""What travels is small."""

import pickle

from deployments.calls.messages import GridShard
from segmentation.automatic.generate import AutomaticParameters, plan_crops


def test_a_shard_carries_its_own_points_and_none_of_the_other_grids() -> None:
    points = [[[(index % 50) / 50, (index // 50) / 50] for index in range(2500)]]
    parameters = AutomaticParameters(points_per_side=None, point_grids=points)
    (crop,) = plan_crops((100, 100), parameters)
    shard = GridShard(crop.box, (100, 100), crop.points[:64], parameters.decoding)
    assert len(pickle.dumps(shard)) < 64 * 16 + 1000
