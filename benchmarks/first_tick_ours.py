"""This project's scheduler, which writes down when its first tick ended, and then ends beat. For `startup.py`."""

from benchmarks.first_tick import EndsAfterFirstTick
from packages.infra.beat.scheduler import AdaptiveScheduler


class Ours(EndsAfterFirstTick, AdaptiveScheduler):
    """What this project's beat uses."""
