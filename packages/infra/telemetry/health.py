"""Whether beat lives and is ready, as a probe wants to hear it. Pure: what is known and `now_s` are given.

    live   its last tick is not too long ago; else restart it
    ready  it publishes, or stands by and could (`leading`, `following`); not while it cannot reach the broker

A follower is ready: nobody sends work to beat, and a deployment that waits for readiness must not wait for the lease.
"""

from datetime import timedelta
from typing import Final, NamedTuple

from packages.infra.beat.standing import Standing, Trouble

# Beat wakes every half second, and no broker holds it up for more than a few.
TICKS_WITHIN: Final = timedelta(seconds=30)


class Health(NamedTuple):
    """What a probe gets: whether all is well, and the facts behind it, as JSON says them."""

    is_well: bool
    facts: dict[str, str | float | int | bool | None]


def live(*, ticked_at_s: float | None, now_s: float, limit: timedelta = TICKS_WITHIN) -> Health:
    """By the age of the last tick; both instants on the monotonic clock. Dead as long as there was none."""
    if ticked_at_s is None:
        return Health(is_well=False, facts={"live": False, "last_tick_age_s": None})
    age_s = max(0.0, now_s - ticked_at_s)
    is_live = age_s <= limit.total_seconds()
    return Health(is_live, {"live": is_live, "last_tick_age_s": round(age_s, 3)})


def ready(*, standing: Standing | None, term: int, trouble: Trouble | None) -> Health:
    """By where the replica stands; None is for not known yet."""
    is_ready = standing in {Standing.LEADING, Standing.FOLLOWING}
    facts: dict[str, str | float | int | bool | None] = {"ready": is_ready, "standing": standing, "term": term}
    return Health(is_ready, facts | {"trouble": trouble})
