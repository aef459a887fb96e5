"""The Python client of the server's HTTP API, synchronous and asynchronous. Needs httpx and numpy, and nothing else.

    from client import SamClient

    with SamClient("http://127.0.0.1:5000") as client:
        masks = client.picture("cells.png").everything()

Knows the HTTP contract only: no Ray, no model, no server code.
"""

from client.analysis import AnalysisObject
from client.async_client import AsyncAnalysis, AsyncPicture, AsyncSamClient
from client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    InvalidArgument,
    InvalidImage,
    InvalidRequest,
    NotFound,
    ProblemError,
    SamError,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownImage,
    UnsupportedMediaType,
)
from client.masks import Mask, Prompt
from client.retries import RetryPolicy
from client.rle import Rle
from client.sync_client import Analysis, Picture, SamClient

__all__ = [
    "Analysis",
    "AnalysisObject",
    "AsyncAnalysis",
    "AsyncPicture",
    "AsyncSamClient",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Forbidden",
    "InvalidArgument",
    "InvalidImage",
    "InvalidRequest",
    "Mask",
    "NotFound",
    "Picture",
    "ProblemError",
    "Prompt",
    "RetryPolicy",
    "Rle",
    "SamClient",
    "SamError",
    "ServerError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnknownImage",
    "UnsupportedMediaType",
]
