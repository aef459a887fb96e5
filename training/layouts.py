"""Where objects lie: lists of (x, y, radius) in pixels of a square picture. Knows nothing of shapes or colour."""

import numpy as np

Place = tuple[float, float, float]


def scatter(rng: np.random.Generator, side: int, gap: float, *, count: int, low: float, high: float) -> list[Place]:
    """Up to `count` circles of log-uniform radius, `gap` pixels or more apart (negative: overlapping by so much)."""
    places: list[Place] = []
    for _ in range(count * 6):
        radius = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        x, y = rng.uniform(-0.3 * radius, side + 0.3 * radius, 2)
        if _free(places, x, y, radius, gap):
            places.append((x, y, radius))
        if len(places) == count:
            break
    return places


def clusters(rng: np.random.Generator, side: int, *, count: int, low: float, high: float) -> list[Place]:
    """Circles that touch: each new one leans on one already there."""
    places: list[Place] = [(float(rng.uniform(0.2, 0.8) * side), float(rng.uniform(0.2, 0.8) * side), high)]
    for _ in range(count * 12):
        if len(places) >= count:
            break
        radius = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        if rng.random() < 0.05:
            x, y = rng.uniform(0, side, 2)
        else:
            px, py, pradius = places[int(rng.integers(len(places)))]
            turn, distance = rng.uniform(0, 2 * np.pi), pradius + radius + rng.uniform(-1.5, 1.0)
            x, y = px + distance * np.cos(turn), py + distance * np.sin(turn)
        visible = -0.3 * radius < min(x, y) and max(x, y) < side + 0.3 * radius
        if visible and _free(places, x, y, radius, -1.6):
            places.append((float(x), float(y), radius))
    return places


def grid(rng: np.random.Generator, side: int, fill: float) -> list[Place]:
    """Rows and columns, square or staggered, with jitter; `fill` is the diameter over the pitch."""
    columns = int(rng.integers(3, 13))
    pitch = side / columns * rng.uniform(0.9, 1.1)
    stagger, turn = rng.random() < 0.4, rng.normal(0, 0.05)
    spread, places = rng.uniform(0.0, 0.22), []
    start = rng.uniform(0.1, 0.7, 2) * pitch
    for row in range(-1, int(side / pitch) + 2):
        for column in range(-1, int(side / pitch) + 2):
            if rng.random() < 0.04:
                continue
            radius = pitch * fill / 2 * (1 - rng.uniform(0, spread))
            slack = max(0.0, pitch / 2 - radius) * 0.9
            shift = 0.5 * (stagger and row % 2) - turn * row
            x = start[0] + (column + shift) * pitch + rng.uniform(-slack, slack)
            y = start[1] + (row + turn * column) * pitch + rng.uniform(-slack, slack)
            if -0.5 * radius < x < side + 0.5 * radius and -0.5 * radius < y < side + 0.5 * radius:
                places.append((float(x), float(y), float(radius)))
    return places


def inside(rng: np.random.Generator, parent: Place, count: int) -> list[Place]:
    """Circles within a circle, apart from one another."""
    px, py, pradius = parent
    places: list[Place] = []
    for _ in range(count * 8):
        radius = pradius * rng.uniform(0.15, 0.6 if count == 1 else 0.4)
        reach = pradius * 0.85 - radius
        turn, distance = rng.uniform(0, 2 * np.pi), max(0.0, reach) * np.sqrt(rng.random())
        x, y = px + distance * np.cos(turn), py + distance * np.sin(turn)
        if radius >= 7 and _free(places, x, y, radius, 2.0):
            places.append((float(x), float(y), float(radius)))
        if len(places) == count:
            break
    return places


def _free(places: list[Place], x: float, y: float, radius: float, gap: float) -> bool:
    if not places:
        return True
    known = np.asarray(places)
    return bool((np.hypot(known[:, 0] - x, known[:, 1] - y) >= known[:, 2] + radius + gap).all())
