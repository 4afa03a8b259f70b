"""The rows of a preview with their texts, for every format. Lazily, for a day of short intervals has many."""

from collections.abc import Iterator
from dataclasses import dataclass

from apps.cli.decision_words import decision_text
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.model import Job
from packages.scheduling.preview_columns import Preview


@dataclass(frozen=True, slots=True)
class Kind:
    """What rows that say the same have in common."""

    verdict: Verdict
    reason: Reason
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """One decision: `at` is when it is made, for a fire when it is published."""

    job: Job
    nominal: int
    planned: int
    at: int
    kind: Kind

    @property
    def jitter_ms(self) -> int:
        """How far the jitter moves it."""
        return self.planned - self.nominal


def rows_of(preview: Preview, *, limit: int | None = None) -> Iterator[Row]:
    """The rows in the order of `at`; the first `limit` of them, None for all."""
    kinds: dict[int, Kind] = {}
    columns = (preview.job, preview.nominal, preview.planned, preview.at, preview.kind)
    for job, nominal, planned, at, kind in zip(*(column[:limit].tolist() for column in columns), strict=True):
        if kind not in kinds:
            kinds[kind] = _kind(preview.kinds[kind])
        yield Row(preview.jobs[job], nominal, planned, at, kinds[kind])


def _kind(decision: Decision) -> Kind:
    return Kind(decision.verdict, decision.reason, decision_text(decision))
