"""Durations as they are written: days, hours and shorter units, each of one length anywhere."""

_UNITS = (("d", 86_400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9),
          ("ms", 10**6), ("us", 10**3), ("ns", 1))  # fmt: skip


def duration_text(nanoseconds: int) -> str:
    """Return a duration as it is written: in as few units as it takes.

    >>> duration_text(7 * 86_400 * 10**9), duration_text(5_400 * 10**9)
    ('7d', '1h30m')
    """
    parts: list[str] = []
    for unit, length in _UNITS:
        n, nanoseconds = divmod(nanoseconds, length)
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts) or "0s"
