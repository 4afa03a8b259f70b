import datetime as dt
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.infra.providers.replay_anchor import AnchorFileError, load_or_create_anchor
from packages.infra.providers.replay_clock import DEFAULT_START, ReplayClock

ANCHOR = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        (dt.timedelta(0), DEFAULT_START),
        (dt.timedelta(seconds=10), DEFAULT_START + dt.timedelta(days=1)),
        (dt.timedelta(hours=1), DEFAULT_START + dt.timedelta(days=360)),
        (dt.timedelta(hours=-1), DEFAULT_START),
        (dt.timedelta(days=365), dt.datetime.max.replace(tzinfo=dt.UTC)),
    ],
)
def test_the_replay_runs_from_its_start_a_day_in_ten_seconds(elapsed: dt.timedelta, expected: dt.datetime) -> None:
    assert ReplayClock(anchor=ANCHOR, speed=8640).replay_now(ANCHOR + elapsed) == expected


@given(
    st.timedeltas(min_value=dt.timedelta(days=-9), max_value=dt.timedelta(days=9000)),
    st.timedeltas(min_value=dt.timedelta(0), max_value=dt.timedelta(days=9000)),
    st.floats(min_value=0.001, max_value=1e9),
)
def test_the_replay_never_goes_back(elapsed: dt.timedelta, further: dt.timedelta, speed: float) -> None:
    clock = ReplayClock(anchor=ANCHOR, speed=speed)
    now = ANCHOR + elapsed
    assert DEFAULT_START <= clock.replay_now(now) <= clock.replay_now(now + further)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_must_be_finite_and_above_0(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be a finite number above 0"):
        ReplayClock(anchor=ANCHOR, speed=speed)


def test_a_naive_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match="anchor must carry a time zone"):
        ReplayClock(anchor=ANCHOR.replace(tzinfo=None), speed=8640)


def test_the_first_anchor_stays(tmp_path: Path) -> None:
    path = tmp_path / "var" / "replay-anchor"
    assert load_or_create_anchor(path, ANCHOR) == ANCHOR
    assert load_or_create_anchor(path, ANCHOR + dt.timedelta(days=1)) == ANCHOR
    assert [entry.name for entry in path.parent.iterdir()] == ["replay-anchor"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_those_who_come_at_once_agree(tmp_path: Path) -> None:
    writers = 4
    meet = threading.Barrier(writers)

    def load(number: int, path: Path) -> dt.datetime:
        meet.wait(timeout=30)
        return load_or_create_anchor(path, ANCHOR + dt.timedelta(days=number))

    with ThreadPoolExecutor(writers) as pool:
        for attempt in range(50):
            path = tmp_path / f"replay-anchor-{attempt}"
            runs = [pool.submit(load, number, path) for number in range(writers)]
            assert len({run.result(timeout=60) for run in runs}) == 1
    assert len(list(tmp_path.iterdir())) == 50


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an instant"),
        (b"yesterday\n", "not an instant"),
        (b"2026-11-22T09:00:00\n", "has no offset"),
        (b"\xff\xfe", "not an instant"),
        (b"2" * 65, "longer than 64 bytes"),
    ],
)
def test_a_spoilt_anchor_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "replay-anchor"
    path.write_bytes(content)
    with pytest.raises(AnchorFileError, match=said) as caught:
        load_or_create_anchor(path, ANCHOR)
    assert str(path) in str(caught.value)
    assert "delete it to start the replay again" in str(caught.value)


def test_an_anchor_that_is_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnchorFileError, match="Is a directory"):
        load_or_create_anchor(tmp_path, ANCHOR)
