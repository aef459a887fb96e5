"""What happens when replicas die under a call: pure work is done again, and nothing is answered wrongly."""

import asyncio
import json
import pickle
from collections.abc import Generator
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from local_graph import LocalGraph
from segment_anything.modeling import Sam

from deployments.calls.errors import InvalidFields, Overloaded, ReplicaLost
from deployments.calls.remote import MAX_DEATHS, CallLost, result, retry_on_replica_loss
from deployments.http.routes import create_app
from segmentation.errors import InvalidRequest, UnknownImage

pytestmark = pytest.mark.anyio


class Flaky:
    """Work that raises the given errors first."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0

    async def __call__(self) -> str:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_a_loss_is_work_done_again() -> None:
    work = Flaky(CallLost("away"), CallLost("away"))
    assert await retry_on_replica_loss(work, first_pause_s=0.001) == "done"
    assert work.runs == 3


async def test_a_request_that_saw_too_many_deaths_is_given_up() -> None:
    work = Flaky(*[CallLost("away")] * 10)
    with pytest.raises(ReplicaLost):
        await retry_on_replica_loss(work, first_pause_s=0.001)
    assert work.runs == MAX_DEATHS


@pytest.mark.parametrize("error", [InvalidRequest("no", "/a"), RuntimeError("bug"), UnknownImage("gone")])
async def test_what_is_no_loss_is_raised_at_once(error: Exception) -> None:
    work = Flaky(error)
    with pytest.raises(type(error)):
        await retry_on_replica_loss(work)
    assert work.runs == 1


async def test_a_full_queue_is_overload_and_no_loss() -> None:
    work = Flaky(Overloaded("full"))
    with pytest.raises(Overloaded):
        await retry_on_replica_loss(work)
    assert work.runs == 1


async def test_our_own_cancellation_is_obeyed() -> None:
    forever = asyncio.create_task(retry_on_replica_loss(asyncio.Event().wait))
    await asyncio.sleep(0)
    forever.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forever


async def test_another_callers_cancellation_is_a_loss() -> None:
    work = Flaky(asyncio.CancelledError())
    assert await retry_on_replica_loss(work, first_pause_s=0.001) == "done"


class Pending:
    """A call that ends when it is told to, or when it is cancelled."""

    def __init__(self) -> None:
        self.ends: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, str]:
        return asyncio.shield(self.ends).__await__()

    def cancel(self) -> None:
        self.ends.cancel()


@pytest.mark.parametrize("is_shared", [False, True])
async def test_a_call_does_not_wait_for_ever_for_what_was_lost(is_shared: bool) -> None:
    """Serve's router sends a call without end whose argument's replica went with its node."""
    lost, made, calls = Pending(), Pending(), [Pending(), Pending()]
    lost.ends.set_exception(CallLost("away"))
    made.ends.set_result("an embedding")
    given = [lost, made]

    async def attempt() -> str:
        upstream, call = given.pop(0), calls.pop(0)
        if upstream is made:
            call.ends.set_result("masks")
        if is_shared:
            return await result(call, shared=upstream, watch_s=0.01)
        return await result(call, upstream, watch_s=0.01)

    assert await retry_on_replica_loss(attempt, first_pause_s=0.001) == "masks"


async def test_a_slow_call_is_left_alone_while_nothing_is_lost() -> None:
    made, call = Pending(), Pending()
    made.ends.set_result("an embedding")
    asyncio.get_running_loop().call_later(0.1, call.ends.set_result, "masks")
    assert await result(call, made, watch_s=0.01) == "masks"


def test_errors_survive_the_way_between_processes() -> None:
    for error in (InvalidRequest("no", "/a"), InvalidFields("no", "/a", (("/a", "no"),)), ReplicaLost("gone")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.args, copy.message) == (type(error), error.args, error.message)


PROMPTS = json.dumps({"prompts": [{"points": [[60, 40]]}]})
GRID = json.dumps({"points_per_side": 8, "crop_n_layers": 1, "pred_iou_thresh": 0, "stability_score_thresh": 0.3})


async def post(graph: LocalGraph, path: str, request: str, png: bytes) -> Any:
    transport = ASGITransport(create_app(graph.service), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(path, data={"request": request}, files={"image": png})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("deployment", ["encoder", "decoder"])
async def test_a_new_picture_survives_the_death_of_a_replica(
    graph: LocalGraph, sam: Sam, png: bytes, deployment: str
) -> None:
    undisturbed = await post(LocalGraph(sam), "/segment", PROMPTS, png)
    for method in ("embed", "decode"):
        getattr(graph, deployment).errors[method] = [CallLost("away")]
    assert (await post(graph, "/segment", PROMPTS, png))["results"] == undisturbed["results"]


@pytest.mark.parametrize("deployment", ["encoder", "decoder"])
async def test_prompts_survive_the_death_of_a_replica(graph: LocalGraph, png: bytes, deployment: str) -> None:
    undisturbed = await post(graph, "/segment", PROMPTS, png)
    graph.decoder.replica = graph.new_decoder()
    for method in ("embed", "decode_prepared", "decode"):
        getattr(graph, deployment).errors[method] = [CallLost("away")]
    assert (await post(graph, "/segment", PROMPTS, png))["results"] == undisturbed["results"]


async def test_a_lost_shard_is_decoded_again_alone(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"candidate_cache_mb": 0})
    undisturbed = await post(graph, "/segment/auto", GRID, png)
    shards = graph.grid.calls["decode"]
    graph.grid.calls.clear()
    graph.grid.errors["decode"] = [CallLost("away")]
    graph.grid.errors["merge"] = [CallLost("away")]
    disturbed = await post(graph, "/segment/auto", GRID, png)
    assert disturbed["masks"] == undisturbed["masks"]
    assert graph.grid.calls["decode"] == shards + 1


async def test_an_embedding_that_goes_while_its_grid_runs_is_made_again(sam: Sam, png: bytes) -> None:
    graph = LocalGraph(sam, {"candidate_cache_mb": 0})
    undisturbed = await post(graph, "/segment/auto", GRID, png)
    graph.encoder.errors["embed"] = [CallLost("gone"), UnknownImage("evicted")]
    assert (await post(graph, "/segment/auto", GRID, png))["masks"] == undisturbed["masks"]


async def test_a_run_goes_on_without_the_cache_of_candidates(sam: Sam, png: bytes) -> None:
    undisturbed = await post(LocalGraph(sam), "/segment/auto", GRID, png)
    graph = LocalGraph(sam)
    for method in ("candidates", "keep_candidates"):
        graph.encoder.errors[method] = [CallLost("away")] * 9
    assert (await post(graph, "/segment/auto", GRID, png))["masks"] == undisturbed["masks"]
    assert graph.encoder.calls["candidates"] == graph.encoder.calls["keep_candidates"] == 1
