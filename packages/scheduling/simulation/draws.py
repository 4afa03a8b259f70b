"""What chance decides in the laboratory, without chance: service times and failures are hashes, turned into draws.

Each is a function of (seed, job, nominal, what) alone. So two strategies that publish the same fire see the same work
(common random numbers: Law, "Simulation Modeling and Analysis", ch. 11), a fire that is shed changes no draw of
another, and a run that is repeated is the same. The hash is made uniform on (0, 1) with 52 bits, and goes through the
inverse of the distribution function.
"""

from math import exp
from statistics import NormalDist
from typing import Final

from packages.scheduling.jitter import hash64
from packages.scheduling.simulation.scenario import ServiceTime

_BITS: Final = 52
_STANDARD: Final = NormalDist()


def uniform(seed: int, job: str, nominal: int, what: str) -> float:
    """A number in (0, 1), both ends excluded."""
    return ((hash64(f"{what}:{seed}:{job}", nominal) >> (64 - _BITS)) + 0.5) / (1 << _BITS)


def service_ms(seed: int, job: str, nominal: int, service: ServiceTime) -> float:
    """How long the run of a fire takes where nothing slows it, in ms; not rounded."""
    if not service.sigma:
        return float(service.median_ms)
    return service.median_ms * exp(service.sigma * _STANDARD.inv_cdf(uniform(seed, job, nominal, "service")))


def fails(seed: int, job: str, nominal: int, share: float) -> bool:
    """Whether the run of a fire fails; one that does at a share does so at every higher one."""
    return share > 0 and uniform(seed, job, nominal, "failure") < share
