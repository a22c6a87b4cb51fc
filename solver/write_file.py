"""Write files whole or not at all, and find out before the work whether that is possible."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from problems.errors import ProblemError


def check_writable(path: Path) -> None:
    """Raise ProblemError if a file could not be written to `path`; nothing stays there."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise IsADirectoryError(0, "is a directory")
        if _is_plain(target):
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:50]}.")
            os.close(descriptor)
            Path(name).unlink()
    except (OSError, RuntimeError, ValueError) as error:
        raise _unwritable(path, error) from None


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path`: the file appears complete or not at all.

    Raises ProblemError that names the path if it cannot be written.
    """
    temporary: str | None = None
    try:
        target = path.resolve()
        if not _is_plain(target):
            # A pipe or a device must not be replaced by a file.
            target.write_text(text, encoding="utf-8")
            return
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            dir=target.parent,
            prefix=f".{target.name[:50]}.",
            delete=False,
        ) as file:
            temporary = file.name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        temporary = None
    except (OSError, RuntimeError, ValueError) as error:
        raise _unwritable(path, error) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _is_plain(target: Path) -> bool:
    return target.is_file() or not target.exists()


def _unwritable(path: Path, error: Exception) -> ProblemError:
    """The error of a path; RuntimeError is a loop of links, ValueError a NUL in the name."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ProblemError(f"cannot be written: {why.lower()}", file=str(path))
