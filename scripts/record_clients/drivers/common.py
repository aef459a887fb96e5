"""What every driver shares: its arguments, the questions about the picture, and how its answers are handed back.

A driver runs in the environment of one tool's client and uses that client's own code. It knows nothing of this project.
"""

import argparse
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

POINT = (149, 133)
"""(x, y) on a coin of the picture."""
BOX = (126, 106, 174, 158)
"""(x0, y0, x1, y1) around the same coin."""


@dataclass(frozen=True)
class Job:
    """What a driver is asked to do.

    url: of the server, without a slash at its end.
    key: an API key, to be carried the tool's own way.
    picture: the picture's file.
    out: the .npz that the answers go to.
    """

    url: str
    key: str
    picture: Path
    out: Path

    def model(self) -> str:
        """The server's default model, to be named the tool's own way."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(f"{self.url}/models", headers=headers), timeout=60) as answer:
            return str(json.load(answer)["models"][0]["name"])

    def save(self, **answers: np.ndarray) -> None:
        """Hands masks back, bool [N, H, W] or [H, W] by question, and says how many."""
        np.savez_compressed(self.out, **answers)
        print(json.dumps({name: list(answer.shape) for name, answer in answers.items()}))


def job() -> Job:
    """The job on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--key", default="")
    given = parser.parse_args()
    return Job(given.url.rstrip("/"), given.key, given.picture, given.out)
