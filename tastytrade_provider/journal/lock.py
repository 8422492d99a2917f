"""One writer at a time: a lock that the system lets go of when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import UsageError


def take_lock(path: Path, what: str = "recording") -> int:
    """Lock a file for this process and return its descriptor; closing that unlocks. UsageError where another one has it and is doing `what`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise UsageError(f"{path.parent}: another process is {what} there") from error
    return fd


def is_locked(path: Path) -> bool:
    """Whether another process has a lock."""
    if not path.exists():
        return False
    try:
        os.close(take_lock(path))
    except UsageError:
        return True
    return False
