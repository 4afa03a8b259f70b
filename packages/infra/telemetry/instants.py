"""How an instant is written in logs and message headers: one form, so that they can be compared as text."""

from datetime import UTC, datetime


def rfc3339(instant: datetime) -> str:
    """An aware instant in UTC to the millisecond, such as `2026-01-31T09:30:00.123Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
