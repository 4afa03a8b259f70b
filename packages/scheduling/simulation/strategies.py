"""The strategies that are compared: the schedule as it is, the adaptive control, and two simpler ones."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packages.scheduling.control.policy import ControlPolicy
    from packages.scheduling.engine import Engine


class Strategy(StrEnum):
    """`fixed`: no control at all. `threshold` and `proportional` are what is often done, for comparison."""

    FIXED = "fixed"
    ADAPTIVE = "adaptive"
    THRESHOLD = "threshold"
    PROPORTIONAL = "proportional"


def use(engine: "Engine", strategy: Strategy, policy: "ControlPolicy") -> None:
    """Have the engine go by a strategy; all but `fixed` go by the same policy, as far as they look at it."""
    # Imported here: who only names a strategy, a command's options, say, needs none of it.
    from packages.scheduling.simulation.proportional import proportional
    from packages.scheduling.simulation.threshold import threshold

    match strategy:
        case Strategy.FIXED:
            engine.use_control(None)
        case Strategy.ADAPTIVE:
            engine.use_control(policy)
        case Strategy.THRESHOLD:
            engine.use_control(policy, step=threshold)
        case Strategy.PROPORTIONAL:
            engine.use_control(policy, step=proportional)
