"""The pipe between the processes of a worker: records come out as they went in, and nobody waits."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.infra.telemetry.process_pipe import LONGEST_RECORD, ProcessPipe
from tests.queue.test_running_worker import eventually


@given(records=st.lists(st.binary(min_size=1, max_size=LONGEST_RECORD), max_size=60))
def test_records_come_out_as_they_went_in(records: list[bytes]) -> None:
    taken: list[bytes] = []
    pipe = ProcessPipe(taken.append, name="test")
    for record in records:
        pipe.tell(record)
    assert pipe.take_what_is_there()
    assert taken == records
    pipe.close()


def test_they_come_from_every_process_in_whole() -> None:
    taken: list[bytes] = []
    pipe = ProcessPipe(taken.append, name="test")
    pipe.take_in_thread()
    children = []
    for child in range(4):
        if (pid := os.fork()) == 0:
            for n in range(200):
                pipe.tell(b"%d:%d" % (child, n) * 5)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    eventually(lambda: len(taken) == 800, "they are not taken")
    assert set(taken) == {b"%d:%d" % (child, n) * 5 for child in range(4) for n in range(200)}
    pipe.close()


def test_a_pipe_that_nobody_reads_holds_nobody_up() -> None:
    taken: list[bytes] = []
    pipe = ProcessPipe(taken.append, name="test")
    for n in range(100_000):
        pipe.tell(b"%d" % n)
    pipe.take_what_is_there()
    assert taken == [b"%d" % n for n in range(len(taken))]
    pipe.close()
    pipe.tell(b"late")


def test_a_record_that_is_too_long_is_refused() -> None:
    pipe = ProcessPipe(print, name="test")
    with pytest.raises(ValueError, match=str(LONGEST_RECORD)):
        pipe.tell(bytes(LONGEST_RECORD + 1))
    pipe.close()


def test_what_goes_wrong_with_one_record_does_not_lose_those_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[bytes] = []

    def take(record: bytes) -> None:
        if record == b"bad":
            raise ValueError("a bug")
        taken.append(record)

    pipe = ProcessPipe(take, name="test")
    for record in (b"bad", b"good"):
        pipe.tell(record)
    pipe.take_what_is_there()
    assert taken == [b"good"]
    assert "record_not_taken" in caplog.text
    pipe.close()


def test_closing_ends_the_thread_also_while_another_process_could_still_tell() -> None:
    pipe = ProcessPipe(print, name="closing")
    pipe.take_in_thread()
    waits, goes_on = os.pipe()
    if (child := os.fork()) == 0:
        os.close(goes_on)
        os.read(waits, 1)
        os._exit(0)
    pipe.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "closing"]
    os.close(goes_on)
    os.waitpid(child, 0)
    os.close(waits)
