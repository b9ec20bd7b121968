"""Compression of blobs: one zstd frame that declares its content's size."""

from __future__ import annotations

import zstandard

from rollback_provider.core.errors import IntegrityError

LEVEL = 3


def compress(content: bytes) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(content)


def declared_size(frame: bytes) -> int:
    """Bytes of content that the frame's header declares.

    Raises IntegrityError where it declares none, or is no zstd frame.
    """
    try:
        size = zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError as error:
        raise IntegrityError("It is not a zstd frame") from error
    if size in {zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR}:
        raise IntegrityError("The zstd frame does not declare the size of its content")
    return size


def decompress(frame: bytes, *, limit: int) -> bytes:
    """The content.

    Never allocates more than the declared size, which must not exceed `limit`. Raises IntegrityError.
    """
    size = declared_size(frame)
    if size > limit:
        raise IntegrityError(f"The zstd frame declares {size} bytes; more than {limit} are never written")
    try:
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError("The zstd frame is damaged or cut short") from error
    if len(content) != size:
        raise IntegrityError(f"The zstd frame declares {size} bytes and holds {len(content)}")
    return content


def stored_limit(limit: int) -> int:
    """Most bytes that a frame of `limit` bytes takes: zstd's bound for what does not compress, and headroom."""
    return limit + (limit >> 7) + 1024
