import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    """The models here are tiny: more threads would only wait for each other on a shared machine."""
    torch.set_num_threads(1)
