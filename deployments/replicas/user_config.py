"""Limits that change while a replica runs: Serve's `user_config`. Knows no deployment."""

from collections.abc import Collection, Mapping

from segmentation.errors import ConfigurationError

COUNTS = ("max_batch",)


def read_limits(user_config: Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """The limits that are given.

    Raises:
        ConfigurationError: one that the deployment does not have, that is no positive number, or a count that is not
            whole; Serve shows the line as the reason why the deployment is unhealthy.
    """
    for name, value in user_config.items():
        if name not in known:
            raise ConfigurationError(f"unknown {name!r} in user_config; known are {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(f"{name} in user_config is {value!r}; say a positive number")
        if name in COUNTS and value != int(value):
            raise ConfigurationError(f"{name} in user_config is {value!r}; say a whole number")
    return dict(user_config)
