"""Content of a snapshot, to read, and beside it what a rehearsal writes on its way: nothing of a copy gets into the user's store."""

from __future__ import annotations

from rollback_provider.core.component import BlobReader, Blobs
from rollback_provider.core.model import BlobRef


class Overlay:
    """Blobs that are written here go to a workspace; all others are read from the store.

    :param store: the user's, which is only read
    :param workspace: thrown away with the rehearsal
    """

    def __init__(self, store: BlobReader, workspace: Blobs) -> None:
        self._store = store
        self._workspace = workspace
        self._written: set[str] = set()

    def get_blob(self, digest: str) -> bytes:
        """The content of this address."""
        return (self._workspace if digest in self._written else self._store).get_blob(digest)

    def put_blob(self, content: bytes) -> BlobRef:
        """Writes it to the workspace."""
        ref = self._workspace.put_blob(content)
        self._written.add(ref.digest)
        return ref

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Writes it to the workspace."""
        self._workspace.put_compressed(ref, data)
        self._written.add(ref.digest)
