"""Which tools' protocols the server speaks: names in settings."""

PROTOCOLS = ("x-anylabeling", "qupath", "roboflow", "hugging-face", "label-studio", "cvat", "isat", "osam")
"""Every protocol there is, by its name."""


def parse_protocols(text: str) -> tuple[str, ...]:
    """`all`, `none`, or names, comma separated.

    Raises:
        ValueError: a name that is none.
    """
    names = tuple(dict.fromkeys(entry.strip().lower() for entry in text.split(",")))
    if names == ("all",):
        return PROTOCOLS
    if names == ("none",):
        return ()
    for name in names:
        if name not in PROTOCOLS:
            raise ValueError(f"{name!r} is no protocol; write all, none, or some of {', '.join(PROTOCOLS)}")
    return tuple(name for name in PROTOCOLS if name in names)
