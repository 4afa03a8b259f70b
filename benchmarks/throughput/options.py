"""What each of these benchmarks can be asked for on its command line."""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """`runs`: how often ours is measured. `with_peers`: whether they run too."""

    runs: int
    with_peers: bool


def options_of(description: str | None, *, runs: int) -> Options:
    """The options of this command line. `runs`: by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=runs, help="how often ours is measured; medians are told")
    parser.add_argument("--ours-only", action="store_true", help="without the peers: no ratios")
    given = parser.parse_args()
    return Options(given.runs, not given.ours_only)
