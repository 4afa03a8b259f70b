"""The laboratory: what a platform goes through in simulated time, with the very engine of the live beat as controller.

A discrete-event simulation: queues as kombu has them on Redis, Celery workers with late acknowledgement and a prefetch
multiplier of 1, service times, failures, and what befalls them, out of a scenario. Chance is drawn by hashes, so that
each strategy sees the same work, and a run is the same on any machine.
"""

from collections.abc import Collection

from packages.scheduling.simulation.laboratory import Laboratory
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.scenario import Scenario
from packages.scheduling.simulation.strategies import Strategy


def simulate(scenario: Scenario, strategy: Strategy, *, seed: int = 1, service_scale: float = 1.0) -> Outcome:
    """One strategy on one scenario. `service_scale` multiplies every service time.

    Raises:
        ValueError: `service_scale` is not above zero.
    """
    if not service_scale > 0:
        raise ValueError(f"service times are scaled by a number above zero, not {service_scale}")
    return Laboratory(scenario, strategy, seed=seed, service_scale=service_scale).run()


def compare(
    scenario: Scenario, strategies: Collection[Strategy] = tuple(Strategy), *, seed: int = 1, service_scale: float = 1.0
) -> dict[Strategy, Outcome]:
    """Each strategy on the same scenario with the same draws; see `simulate`."""
    return {each: simulate(scenario, each, seed=seed, service_scale=service_scale) for each in strategies}
