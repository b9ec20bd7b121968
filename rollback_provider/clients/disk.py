"""What a file system refuses, as the errors of core."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollback_provider.core.errors import ComponentUnavailableError, PermissionDeniedError, StepFailedError

_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOTEMPTY}


@contextmanager
def disk_errors(component: str, path: Path, rights: str) -> Iterator[None]:
    """Within it, OSError becomes PermissionDeniedError, StepFailedError where a disk takes no more, or ComponentUnavailableError.

    :param path: what is worked on, for errors that name none
    :param rights: what to do where permission is missing
    """
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(
            f"No permission for {error.filename or path}", component=component, next_step=rights
        ) from error
    except OSError as error:
        what = f"{error.filename or path}: {error.strerror}"
        if error.errno in _REFUSED:
            raise StepFailedError(what, component=component) from error
        raise ComponentUnavailableError(what, component=component) from error
