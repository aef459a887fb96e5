"""The colour of each group, the same in every export. Distinct for eyes that tell red and green apart badly too."""

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (0, 158, 115),
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
"""Okabe and Ito's colours without black."""


def group_colour(number: int) -> Colour:
    """The RGB colour of a group by its number, smallest first; beyond the palette colours come again."""
    return PALETTE[number % len(PALETTE)]
