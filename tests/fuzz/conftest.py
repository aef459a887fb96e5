"""How much is tried: a little in every run; `make fuzz` asks for more."""

import os
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
DECODERS = 7

settings.register_profile(
    "fuzz",
    deadline=None,
    database=None,
    derandomize=not SECONDS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("fuzz")


@pytest.fixture
def fuzz() -> Callable[[Callable[[], None]], None]:
    """Runs a hypothesis test once, or again and again for this decoder's share of the time."""

    def run(test: Callable[[], None]) -> None:
        ends = time.monotonic() + SECONDS / DECODERS
        test()
        while time.monotonic() < ends:
            test()

    return run


@pytest.fixture(scope="session")
def cases() -> int:
    return CASES
