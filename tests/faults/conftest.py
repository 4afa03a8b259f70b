"""The stage of a scenario that takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stage import Stage, staged


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A server that writes an append-only file, and replicas with a lease of two seconds."""
    with staged(tmp_path) as stage:
        yield stage
