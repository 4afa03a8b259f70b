"""One short text for the policies of all jobs in force: equal in any process exactly when the policies are.

It is kept up job by job, in any order, and remembers none of them. Nothing is decided here.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from packages.scheduling.model import Job

_MOST: Final = 1 << 64
# Most jobs have the same few. The sets in them are of small integers, which every process tells in the same order.
_policies_text: Final = lru_cache(maxsize=1_000)(repr)


class PolicyVersion:
    """Of the jobs that were added and not removed."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, job: Job) -> None:
        """Count a job in; one of the same name is removed first."""
        self._sum = (self._sum + _part(job)) % _MOST

    def remove(self, job: Job) -> None:
        """Take out a job that was added, as it was then."""
        self._sum = (self._sum - _part(job)) % _MOST

    @property
    def text(self) -> str:
        """The version, 16 hexadecimal digits."""
        return f"{self._sum:016x}"


def _part(job: Job) -> int:
    text = f"{job.name}\n{job.queue}\n{job.criticality}\n{job.expires_ms}\n{_policies_text(job.policies)}"
    return int.from_bytes(blake2b(text.encode(errors="backslashreplace"), digest_size=8).digest(), "big")
