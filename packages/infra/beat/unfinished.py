"""What a leader before has claimed, and perhaps not published, waits again: it is published under the same task id."""

from collections.abc import Iterable

from packages.infra.beat.entries.roster import Roster
from packages.scheduling.decision import Reason
from packages.scheduling.engine import Engine
from packages.scheduling.state import OpenFire


def wait_again(unfinished: Iterable[tuple[str, int, int, str]], engine: Engine, roster: Roster, now: int) -> None:
    """Open these fires (job, nominal, planned, origin), due at once; those of a job that is not known are left."""
    for job, nominal, planned, origin in unfinished:
        if job not in engine.names:
            continue
        state = engine.state(job)
        if any((fire.nominal, fire.origin) == (nominal, origin) for fire in state.open):
            continue
        fire = OpenFire(
            nominal=nominal,
            planned=planned,
            origin=origin,
            retry_at=now,
            reason=Reason.PUBLISH_FAILED,
            since=planned,
            attempts=1,
        )
        roster.unsaved[job] = engine.put_state(job, state._replace(open=(*state.open, fire)), now)
