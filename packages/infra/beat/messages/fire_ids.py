"""The id of a fire's message: made from what identifies the fire, whoever publishes it, so that a duplicate shows.

A UUID of version 8 (RFC 9562, section 5.8): 60 bits are of the job's name, 62 of the nominal and the origin, each from
a SHA-1. In two halves, since each is the same for many fires: of one job, and of all jobs at one instant.
"""

from functools import lru_cache
from hashlib import sha1
from typing import Final

# As many as have their messages remembered, about 300 bytes each.
_MOST_JOBS: Final = 250_000
# Not least recently used ones: keeping their order touches more memory than all the rest of an id.
_of_jobs: Final[dict[str, tuple[str, bytes]]] = {}
_MOST_INSTANTS: Final = 10_000
# The digit that carries the two bits of the variant (RFC 9562, section 4.1), by what the digest has there.
_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def task_id_of(job: str, nominal: int, origin: str) -> str:
    """The id of the message of one fire."""
    return task_id_and_claim_of(job, nominal, origin)[0]


def claim_of(job: str, nominal: int, origin: str) -> bytes:
    """The same id as its 16 bytes: what is kept of a fire that was published."""
    return task_id_and_claim_of(job, nominal, origin)[1]


def task_id_and_claim_of(job: str, nominal: int, origin: str) -> tuple[str, bytes]:
    """Both of them."""
    first, first_bytes = _of_jobs.get(job) or of_job(job)
    last, last_bytes = _of_instant(nominal, origin)
    return first + last, first_bytes + last_bytes


def of_job(job: str) -> tuple[str, bytes]:
    """The half that all fires of a job have in common, as text and as bytes; it is remembered."""
    text = sha1(job.encode(), usedforsecurity=False).hexdigest()
    half = f"{text[:8]}-{text[8:12]}-8{text[12:15]}-", bytes.fromhex(f"{text[:12]}8{text[12:15]}")
    if len(_of_jobs) >= _MOST_JOBS:
        _of_jobs.clear()
    _of_jobs[job] = half
    return half


@lru_cache(maxsize=_MOST_INSTANTS)
def _of_instant(nominal: int, origin: str) -> tuple[str, bytes]:
    text = sha1(f"{nominal}\n{origin}".encode(), usedforsecurity=False).hexdigest()
    text = f"{_VARIANT[text[0]]}{text[1:16]}"
    return f"{text[:4]}-{text[4:]}", bytes.fromhex(text)
