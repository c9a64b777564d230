"""Durations as a person says them."""

from datetime import timedelta

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def spoken(gap: timedelta) -> str:
    """Return a duration in its two largest units: 3d 4h, 12m 5s, 0.412s."""
    seconds = gap.total_seconds()
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    parts = []
    for unit, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{int(count)}{unit}")
    return " ".join(parts[:2])
