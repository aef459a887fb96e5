"""Which windows cover a picture. Knows numbers only."""

from dataclasses import dataclass

from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels [y0, y1) by [x0, x1) of a picture."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def common(self, other: "Window") -> "Window | None":
        """The pixels of both."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Window(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def plan_windows(size: Size, tile: int, halo: int) -> list[Window]:
    """Windows of `tile` pixels a side, row by row, neighbours sharing at least `halo` pixels. None is narrower."""
    height, width = size
    rows, columns = _starts(height, tile, halo), _starts(width, tile, halo)
    return [Window(x, y, min(x + tile, width), min(y + tile, height)) for y in rows for x in columns]


def _starts(length: int, tile: int, halo: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - halo) // (tile - halo))
    # The windows are spread evenly: the last is as large as the others.
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]
