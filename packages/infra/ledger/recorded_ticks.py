"""The ticks of a ledger, each with its decisions and all that was known when they were made: what a replay takes in.

Nothing is decided here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from packages.infra.ledger.control_record import NOTHING_KNOWN, ControlRecord
from packages.infra.ledger.ledger import Ledger
from packages.infra.ledger.tick_record import TickRecord
from packages.scheduling.decision import Decision

_PER_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class RecordedTick:
    """A tick with its decisions in their order. `record` is None where it was trimmed, or is another version's.

    `is_whole`: the snapshot of the record has all that was known. It lacks what the adaptive control knew where that
    stands in a record of before the beginning.
    """

    number: str
    record: TickRecord | None
    decisions: tuple[Decision, ...]

    @property
    def is_whole(self) -> bool:
        """See the class."""
        return self.record is not None and self.record.control_in in {None, self.number}


def recorded_ticks(ledger: Ledger, after: str = "") -> Iterator[RecordedTick]:
    """All ticks whose first entry stands behind the one with the id `after`, in their order."""
    carrying = _Carrying()
    tick: str | None = None
    record: TickRecord | None = None
    decisions: list[Decision] = []
    while entries := ledger.entries(after, _PER_PAGE):
        after = entries[-1].id
        for entry in entries:
            if entry.tick != tick:
                if tick is not None:
                    yield RecordedTick(tick, record, tuple(decisions))
                tick, record, decisions = entry.tick, None, []
            if isinstance(entry.content, Decision):
                decisions.append(entry.content)
            else:
                record = carrying.completed(entry.content)
    if tick is not None:
        yield RecordedTick(tick, record, tuple(decisions))


class _Carrying:
    """What the control knew, from the record that has it to those that name it."""

    def __init__(self) -> None:
        self._tick: str | None = None
        self._known: ControlRecord = NOTHING_KNOWN

    def completed(self, record: TickRecord) -> TickRecord:
        if record.control_in is None:
            return record
        if record.control_in == record.tick:
            self._tick, self._known = record.tick, ControlRecord.of(record.snapshot)
            return record
        if record.control_in != self._tick:
            return record
        return replace(record, snapshot=self._known.put_into(record.snapshot), control_in=record.tick)
