"""What the ledger keeps of one tick: that which its decisions were made from. How it is written is not known here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from packages.scheduling.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One tick. `tick`: its number, `<term>.<n>`. `term`: of the lease under which it was made.

    `policies`: a digest of the policies of all jobs that were in force. `snapshot`: what was known, without the
    calendars, and with the runs of those jobs only that were looked at. `calendars`: the digest of each market's; with
    the tables of these digests in it the snapshot is whole again. `controllers`: their state, free JSON.
    """

    tick: str
    term: int
    policies: str
    snapshot: Snapshot
    calendars: Mapping[str, str] = field(default_factory=dict)
    controllers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> int:
        """The instant of the tick."""
        return self.snapshot.taken_at
