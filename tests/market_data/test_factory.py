import datetime as dt
from pathlib import Path

import pytest
from pydantic import SecretStr

from packages.infra.providers.alpaca import AlpacaOptions, AlpacaProvider
from packages.infra.providers.factory import RecordedOptions, make_provider

NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)


def test_the_recording_goes_on_where_another_process_began_it(tmp_path: Path) -> None:
    options = RecordedOptions(anchor_path=tmp_path / "replay-anchor", speed=86_400.0)
    after = dt.datetime(1999, 12, 31, tzinfo=dt.UTC)
    until = NOW + dt.timedelta(seconds=3)
    for made_at in (NOW, until):
        provider = make_provider("recorded", now=made_at, recorded=options)
        assert len(list(provider.bars(symbol="^GSPC", timeframe="1d", after=after, until=until))) == 3


def test_the_live_provider() -> None:
    options = AlpacaOptions(api_key=SecretStr("k"), secret_key=SecretStr("s"))
    assert isinstance(make_provider("alpaca", now=NOW, alpaca=options), AlpacaProvider)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yahoo", "'yahoo' is not known; allowed: recorded, alpaca"),
        ("recorded", "'recorded': its options are missing"),
        ("alpaca", "'alpaca': its options are missing"),
    ],
)
def test_what_cannot_be_made_is_named(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_provider(name, now=NOW)
