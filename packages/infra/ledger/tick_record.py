"""What the ledger keeps of one tick: that which its decisions were made from. How it is written is not known here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from packages.scheduling.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One tick. `tick`: its number, `<term>.<n>`. `term`: of the lease under which it was made.

    `policies`: a digest of the policies of all jobs that were in force. `snapshot`: what was known, without the
    calendars, and with the runs of those jobs only that were looked at. `calendars`: the digest of each market's; with
    the tables of these digests in it the snapshot is whole again. `control_in`: the number of the tick
    whose record has what the adaptive control knew; None if it knew nothing. Where it is another one's, the snapshot is
    without that.
    """

    tick: str
    term: int
    policies: str
    snapshot: Snapshot
    calendars: Mapping[str, str] = field(default_factory=dict)
    control_in: str | None = None

    @property
    def at(self) -> int:
        """The instant of the tick."""
        return self.snapshot.taken_at
