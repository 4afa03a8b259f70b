"""Whether it is Celery's handler of SIGTERM or SIGINT that closes the scheduler, and not beat on its way out.

The handler closes the scheduler and then raises SystemExit, wherever the process was: in a destructor, say, or in a
callback of a weak reference, Python drops that, and beat would go on for good. Nothing is ended here.
"""

import sys
from types import CodeType, FrameType
from typing import Final

# From the handler over `Service.sync` and what subclasses put around `close`.
_FRAMES_LOOKED_AT: Final = 20


def is_asked_by_signal() -> bool:
    """Whether that handler is among the callers."""
    command = sys.modules.get("celery.apps.beat")
    if command is None:
        # Nobody has installed it.
        return False
    # It stands in a function of Celery's, and is known by its code.
    constants = command.Beat.install_sync_handler.__code__.co_consts
    handlers = {constant for constant in constants if isinstance(constant, CodeType)}
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to see one's callers
    for _ in range(_FRAMES_LOOKED_AT):
        if frame is None:
            return False
        if frame.f_code in handlers:
            return True
        frame = frame.f_back
    return False
