"""Maps what obstore and the operating system raise to the errors of :mod:`rollback_provider.core.errors`."""

from __future__ import annotations

import errno
import re

from obstore import exceptions as vendor

from rollback_provider.core.errors import AlreadyExistsError, NotFoundError, StoreError, StoreUnavailableError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_LINKS_MISSING = {errno.EOPNOTSUPP, errno.EMLINK}
_STATUS_REFUSED = re.compile(r"non-2xx status code: 40[13]\b")

EXPECTED = (vendor.BaseError, OSError, ValueError)
"""Everything a call of obstore or of the operating system is expected to raise; all of it can be translated."""


def translate(error: Exception, *, url: str, doing: str, state: str = "") -> StoreError:
    """The error of ours that says what `error` means.

    The vendor's text is not passed on whole: S3 answers a bad signature with the request's headers, the session token
    among them. Raise the result ``from None`` for the same reason.

    :param url: the store, without credentials
    :param doing: what was tried, as ``reading snapshots/orders``
    :param state: what is true now, where it is not that nothing was changed
    """
    if "<Code>NoSuchBucket</Code>" in str(error):
        return StoreUnavailableError(
            f"{url}: {doing}: the bucket does not exist",
            state=state,
            next_step="Create the bucket, or correct the store's URL",
        )
    if isinstance(error, vendor.AlreadyExistsError | vendor.PreconditionError | FileExistsError):
        return AlreadyExistsError(f"{url}: {doing}: somebody else has created this object already")
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{url}: {doing}: there is no such object")
    if isinstance(error, OSError):
        return translate_system(error, url=url, doing=doing, state=state)
    return _from_service(error, url=url, doing=doing, state=state)


def _from_service(error: Exception, *, url: str, doing: str, state: str) -> StoreError:
    text = str(error)
    refused = isinstance(error, vendor.PermissionDeniedError | vendor.UnauthenticatedError)
    if refused or _STATUS_REFUSED.search(text):
        return StoreUnavailableError(
            f"{url}: {doing}: the credentials are refused or lack the permission ({_summary(text)})",
            state=state,
            next_step="Check the access key, its secret, the region, and what the key may do with this bucket",
        )
    if "/latest/api/token" in text:  # the last place where credentials are looked for: the machine's own role
        return StoreUnavailableError(
            f"{url}: {doing}: no credentials are given, and this machine has no role of its own",
            state=state,
            next_step="Give the access key and its secret in the connection, or in AWS_ACCESS_KEY_ID and its kin",
        )
    if "kind: Builder" in text and "BadScheme" in text:
        return StoreUnavailableError(
            f"{url}: {doing}: the endpoint is plain http, which is not allowed",
            state=state,
            next_step="Use an https endpoint, or set the option allow_http",
        )
    return StoreUnavailableError(f"{url}: {doing}: {_summary(text)}", state=state)


def translate_system(error: OSError, *, url: str, doing: str, state: str = "") -> StoreUnavailableError:
    """The same for what the operating system says of files and directories in general."""
    if error.errno in _FULL:
        return StoreUnavailableError(
            f"{url}: {doing}: no space is left ({error.strerror})",
            state=state,
            next_step="Free space or remove old snapshots with rollbackctl prune, then try again",
        )
    if error.errno in _REFUSED:
        return StoreUnavailableError(
            f"{url}: {doing}: the operating system refuses access ({error.strerror})",
            state=state,
            next_step="Make the directory readable and writable for the user that runs this",
        )
    if error.errno in _LINKS_MISSING:
        return StoreUnavailableError(
            f"{url}: {doing}: the file system has no hard links ({error.strerror}); two writers would not be safe",
            state=state,
            next_step="Put the store on a file system that has them",
        )
    return StoreUnavailableError(f"{url}: {doing}: {error.strerror or type(error).__name__}", state=state)


def _summary(text: str) -> str:
    """The first line of a vendor's message, and the error code of an S3 answer; nothing else of the answer's body."""
    head = re.split(r"\n|<\?xml|<Error>|<!DOCTYPE|<html", text, maxsplit=1)[0].strip(" .:") or "no reason given"
    reason = re.search(r'message: "([^"\n]{1,120})"', text)
    code = re.search(r"<Code>(\w{1,80})</Code>", text)
    details = [found.group(1) for found in (code, reason) if found and found.group(1) not in head]
    return f"{head}: {', '.join(details)}" if details else head
