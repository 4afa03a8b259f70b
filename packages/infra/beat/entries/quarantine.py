"""Jobs that were put aside because something of theirs raised: reported once, listed, and tried again later."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Why a job was put aside, and when (an instant) it is tried again."""

    error: str
    until: int


class Quarantine:
    """The jobs that are put aside, by name."""

    def __init__(self) -> None:
        self.listed: dict[str, Quarantined] = {}

    def put_aside(self, name: str, error: Exception, until: int) -> None:
        """List a job; the log says so once for as long as the error is the same."""
        text = f"{type(error).__name__}: {error}"
        known = self.listed.get(name)
        if known is None or known.error != text:
            # A name that no log can hold may be just what is wrong.
            sayable = name.encode(errors="backslashreplace").decode()
            log.error("entry_quarantined", extra={"job": sayable, "error": text}, exc_info=error)
        self.listed[name] = Quarantined(text, until)

    def recovered(self, names: Iterable[str]) -> None:
        """Take off those that did what they should again."""
        if not self.listed:
            return
        for name in names:
            if self.listed.pop(name, None) is not None:
                log.info("entry_recovered", extra={"job": name})

    def drop(self, name: str) -> None:
        """Take off one that is no more."""
        self.listed.pop(name, None)

    def due(self, now: int) -> set[str]:
        """The names of those to try again."""
        return {name for name, put_aside in self.listed.items() if put_aside.until <= now}
