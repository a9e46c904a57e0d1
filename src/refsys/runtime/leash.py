"""Start a program that dies with its parent, if wanted as another user: `python -I -S leash.py … -- program …`.

Standard library only: it runs before anything else is importable, and as the interpreter's own user. Doing this in a
process of its own (and not between fork and exec) keeps the supervisor free of code that runs after a fork of threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` to this process when the thread that started it ends (Linux only).

    Leaves at once where `parent` (a pid) is gone already. Changing user or executing a set-uid program resets it.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(128 + death_signal)


def command(
    program: Sequence[str], *, death_signal: signal.Signals = signal.SIGKILL, uid: int = -1, gid: int = -1
) -> list[str]:
    """The command line that starts `program` on a leash of the calling process; uid and gid -1 = unchanged."""
    mine = [sys.executable, "-I", "-S", __file__]
    return [*mine, str(os.getpid()), str(int(death_signal)), str(uid), str(gid), "--", *program]


def main(arguments: Sequence[str]) -> None:
    parent, death_signal, uid, gid = (int(word) for word in arguments[:4])
    program = list(arguments[5:])
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    die_with_parent(parent, death_signal)
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
