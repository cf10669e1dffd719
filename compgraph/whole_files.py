"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write beside the target and then take its place, so that a reader never meets half a file; the path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "numbers.txt", b"1 2 3").read_bytes()
    b'1 2 3'

    The content and then the name reach the disk: a machine that loses its power has the old file or the new one. An `OSError`
    names the target and not the file beside it, of which nothing stays.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name[:60]}.{secrets.token_hex(6)}")
    try:
        try:
            with open(beside, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        finally:
            with contextlib.suppress(OSError):  # the first error is the one to hear about
                beside.unlink(missing_ok=True)
        if hasattr(os, "O_DIRECTORY"):  # Windows has no handle on a folder
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # which say that this file system has no such thing
                    raise
            finally:
                os.close(folder)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(target)) from error
    return target
