from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packages.infra.calendars.load import load_calendars
from packages.scheduling.sessions import SessionTable

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MARKETS = ("XNYS", "XLON", "XTKS", "XHKG", "CMES", "XSHG", "24/7", "NASDAQ")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the compiled calendars of `MARKETS`; read only."""
    directory = tmp_path_factory.mktemp("calendars")
    load_calendars(MARKETS, directory, now=NOW)
    yield directory
    for file in directory.iterdir():
        file.unlink()


@pytest.fixture(scope="session")
def calendars(warm: Path) -> Mapping[str, SessionTable]:
    return load_calendars(MARKETS, warm, now=NOW)
