"""Starts a program that must not outlive this process, even if this process is killed. Knows nothing of what it does.

On Linux the kernel sends it SIGKILL when the thread that started it is gone. The program asks for that itself, between
fork and exec, by way of a few lines of Python that become the program: `preexec_fn` would run in a copy of this
process, where a lock held by another thread is never released. Elsewhere the program may run on after a kill.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
# The parent may be gone before the request is made; then its id is no longer that of the parent.
_BECOME: Final = f"""\
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
if ctypes.CDLL(None, use_errno=True).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL, 0, 0, 0):
    sys.exit(f"prctl: {{os.strerror(ctypes.get_errno())}}")
if os.getppid() != int(parent):
    sys.exit("the process that started this one is gone")
try:
    os.execv(command[0], command)
except OSError as error:
    sys.exit(f"{{command[0]}}: {{error.strerror}}")
"""


def bound_command(command: Sequence[str]) -> list[str]:
    """The arguments that run `command` (its program by path) bound to this process; elsewhere than on Linux as it is.

    Start it from the thread that waits for it, with this process as its parent.
    """
    if sys.platform != "linux":
        return list(command)
    # Isolated: neither the environment nor the working directory has a say in what these lines import.
    return [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *command]
