"""Files that are whole at any time: the old one, until the new one is complete."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cdp_toy.errors import InputError

__all__ = ["replace_file"]


def replace_file(path: Path, raw: bytes) -> Path:
    """Write a file next to its place, and rename it when everything is on the disk.

    Parameters
    ----------
    path : pathlib.Path
        A link is followed: the file that it names is replaced.
    raw : bytes

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    InputError
        When the path is no place for a file, or the directory does not exist or is not writable.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     replace_file(Path(directory, "a"), b"whole").read_bytes()
    b'whole'
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise InputError(f"{path} is a directory or a device and cannot be replaced by a file; name a file")
        temporary = target.with_name(f".cdp-toy-{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be written: {reason}; choose a directory that exists and is yours") from None
    return path
