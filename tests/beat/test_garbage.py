"""When Python may look for garbage while beat is imported."""

import gc
from collections.abc import Iterator

import pytest

from packages.infra.beat.garbage import made_to_stay


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_made_to_stay_is_not_searched_then_nor_later() -> None:
    with made_to_stay():
        assert not gc.isenabled()
        made = [[]]  # type: ignore[var-annotated]  # anything that the search would look at
    assert gc.isenabled()
    assert not any(each is made for each in gc.get_objects())


def test_a_search_that_is_off_stays_off() -> None:
    gc.disable()
    with made_to_stay():
        pass
    assert not gc.isenabled()


def test_an_import_that_fails_leaves_the_search_on() -> None:
    with pytest.raises(ImportError), made_to_stay():
        raise ImportError
    assert gc.isenabled()
