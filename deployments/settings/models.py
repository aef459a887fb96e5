"""The models that a server offers, by name, in settings."""

import re

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def parse_models(text: str) -> tuple[str, ...]:
    """Names, comma separated.

    Raises:
        ValueError: one can't be a name, or is there twice.
    """
    names = tuple(entry.strip() for entry in text.split(","))
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a model; write demo,vit_b")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is there twice")
    return names
