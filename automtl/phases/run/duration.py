"""Parses durations."""

import re

from automtl.errors import ConfigError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(text: str, where: str) -> float:
    """A duration such as 90, 30s, 10m or 2h in seconds.

    Args:
        text: the duration.
        where: what it is called in the message.

    Raises:
        ConfigError: it has another form.
    """
    match = _DURATION.fullmatch(text)
    if not match or float(match[1]) <= 0:
        raise ConfigError(where, "must be a duration above 0 such as 30s, 10m or 2h", repr(text))
    return float(match[1]) * _SECONDS[match[2]]
