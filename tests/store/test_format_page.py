"""The program on the page about the format reads a real store."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rollback_provider.core.model import ComponentSpec, ComponentState, Snapshot, utcnow
from rollback_provider.core.repository import Repository, make_id
from rollback_provider.store import SnapshotStore

PAGE = Path(__file__).parents[2] / "docs" / "snapshot-format.md"


def test_a_store_is_read_without_this_package(file_store: SnapshotStore) -> None:
    blob = file_store.put_blob(b"1\topen\n" * 100)
    state = ComponentState(
        spec=ComponentSpec(kind="memory", name="orders"),
        identity="ü",
        captured=utcnow(),
        payload={},
        summary={"rows": 100},
        blobs=(blob.digest,),
    )
    draft = Snapshot(id="", migration="m", created=utcnow(), actor="t", components=(state,))
    snapshot = draft.model_copy(update={"id": make_id("m", draft.created, draft.to_json())})
    Repository(file_store).save_snapshot(snapshot)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    program = program.replace("STORE", file_store.url.removeprefix("file://"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"orders {{'rows': 100}}\n  {blob.digest[:12]} 700 bytes, {blob.stored_size} stored\n"
