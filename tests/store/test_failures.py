"""What goes wrong below the store, and what is left of it."""

from __future__ import annotations

import errno
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from obstore import exceptions as vendor

from rollback_provider.core.errors import AlreadyExistsError, NotFoundError, StoreError, StoreUnavailableError
from rollback_provider.store import SnapshotStore, open_store
from rollback_provider.store.failures import EXPECTED, translate
from tests.fix_store import S3, StoreCase

VENDOR_ERRORS = [each for _, each in inspect.getmembers(vendor, inspect.isclass) if issubclass(each, vendor.BaseError)]

FULL_DISK = """
import resource, sys
from rollback_provider.core.errors import StoreUnavailableError
from rollback_provider.store import open_store

store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for write in (lambda: store.put_blob(random), lambda: store.create("snapshots/big", {"text": random.hex()})):
    random = open("/dev/urandom", "rb").read(300_000)
    try:
        write()
    except StoreUnavailableError as error:
        print(error)
print(list(store.names("snapshots/")), list(store.blobs()))
store.create("snapshots/small", {})
"""

RACE = """
import sys
from rollback_provider.core.errors import AlreadyExistsError
from rollback_provider.store import open_store

store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    try:
        store.create(f"locks/{number}", {"winner": sys.argv[2]})
        print(number)
    except AlreadyExistsError:
        pass
"""

FORK = """
import json, os, signal, sys
from rollback_provider.core.errors import StoreUnavailableError
from rollback_provider.store import open_store

url, options = sys.argv[1], json.loads(sys.argv[2])
store = open_store(url, options)
child = os.fork()
if child == 0:
    signal.alarm(10)
    try:
        open_store(url, options)
    except StoreUnavailableError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_four_processes_create_the_same_documents(file_case: StoreCase) -> None:
    store = file_case.open()
    racers = [python(RACE, file_case.url, str(number)) for number in range(4)]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate(timeout=60) for racer in racers]
    assert all(racer.returncode == 0 for racer in racers), [errors for _, errors in outputs]
    won = {str(number): output.split() for number, (output, _) in enumerate(outputs)}
    assert sorted(int(name) for names in won.values() for name in names) == list(range(200))
    for winner, names in won.items():
        for name in names:
            assert store.read(f"locks/{name}") == {"winner": winner}


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_behind(file_case: StoreCase, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: it binds every user, and cuts the write in its middle."""
    writer = python(FULL_DISK, file_case.url)
    output, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors
    blob, document, listing = output.splitlines()
    assert "no space is left" in blob
    assert "blobs/" in blob
    assert "Nothing was written. Free space" in blob
    assert "creating snapshots/big: no space is left" in document
    assert listing == "[] []"
    files = sorted(name for _, _, names in os.walk(tmp_path / "store") for name in names)
    assert files == ["small", "store"]


def test_a_write_whose_directory_turns_into_a_file_fails(file_case: StoreCase, tmp_path: Path) -> None:
    store = file_case.open()
    (tmp_path / "store" / "snapshots").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match="creating snapshots/one"):
        store.create("snapshots/one", {})
    with pytest.raises(StoreUnavailableError, match="reading snapshots/one"):
        store.read("snapshots/one")


def test_a_bucket_that_vanishes_is_named(s3_case: StoreCase, s3: S3) -> None:
    store = s3_case.open()
    bucket, client = s3_case.url.split("/")[2], s3.client()
    client.delete_object(Bucket=bucket, Key="some/prefix/store")
    client.delete_bucket(Bucket=bucket)
    for act in (
        lambda: store.read("snapshots/one"),
        lambda: store.create("snapshots/one", {}),
        lambda: store.names("snapshots/"),
        lambda: store.put_blob(b"x"),
    ):
        with pytest.raises(StoreUnavailableError, match="the bucket does not exist"):
            act()


def test_a_forked_process_is_told_so_and_does_not_hang(s3_case: StoreCase) -> None:
    child = python(FORK, s3_case.url, json.dumps(s3_case.options))
    output, errors = child.communicate(timeout=60)
    assert "was forked from one that has used a store" in output, errors


def test_a_lost_answer_is_not_a_lost_write(file_case: StoreCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service wrote the object, its answer was lost, and the repeated request met the object."""
    store = file_case.open()
    objects = store._objects  # the fault is put in below the store
    create = objects.create

    def lossy(failure: StoreError, name: str, data: bytes) -> None:
        create(name, data)
        raise failure

    for number, failure in enumerate([AlreadyExistsError("It is there"), StoreUnavailableError("No answer")]):
        monkeypatch.setattr(objects, "create", lambda name, data, failure=failure: lossy(failure, name, data))
        store.create(f"locks/{number}", {"owner": "me"})
        with pytest.raises(AlreadyExistsError):
            store.create(f"locks/{number}", {"owner": "me"})


@pytest.mark.parametrize("kind", VENDOR_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_vendor_has_one_of_ours(kind: type[Exception]) -> None:
    assert issubclass(kind, EXPECTED)
    translated = translate(kind("Something\nDebug source: a token"), url="s3://bucket", doing="reading x")
    assert isinstance(translated, StoreError)
    assert "reading x" in str(translated)
    assert "token" not in str(translated)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (FileNotFoundError(), NotFoundError, "no such object"),
        (FileExistsError(), AlreadyExistsError, "somebody else"),
        (OSError(errno.ENOSPC, "No space left on device"), StoreUnavailableError, "no space is left"),
        (OSError(errno.EDQUOT, "Quota exceeded"), StoreUnavailableError, "no space is left"),
        (PermissionError(errno.EACCES, "Permission denied"), StoreUnavailableError, "refuses access"),
        (OSError(errno.EROFS, "Read-only file system"), StoreUnavailableError, "refuses access"),
        (OSError(errno.EOPNOTSUPP, "Not supported"), StoreUnavailableError, "no hard links"),
        (OSError(errno.EIO, "Input/output error"), StoreUnavailableError, "Input/output error"),
    ],
)
def test_errors_of_the_system(error: OSError, kind: type[StoreError], says: str) -> None:
    translated = translate(error, url="file:///x", doing="creating y", state="Nothing was written")
    assert type(translated) is kind
    assert says in str(translated)


def test_an_answer_that_quotes_the_request_is_not_passed_on() -> None:
    """S3 answers a bad signature with the request's headers, and the session token is one of them."""
    answer = "<?xml?><Error><Code>SignatureDoesNotMatch</Code><C>x-amz-security-token:TOKEN</C>"
    text = str(
        translate(
            vendor.GenericError(f"Error performing PUT: non-2xx status code: 403 Forbidden: {answer}"),
            url="s3://bucket",
            doing="reading x",
        )
    )
    assert "SignatureDoesNotMatch" in text
    assert "credentials are refused" in text
    assert "TOKEN" not in text


def test_half_written_files_of_a_killed_writer_harm_nobody(file_case: StoreCase, tmp_path: Path) -> None:
    store: SnapshotStore = file_case.open()
    (tmp_path / "store" / "snapshots").mkdir()
    (tmp_path / "store" / "snapshots" / "one#42").write_bytes(b'{"form')
    assert list(store.names("snapshots/")) == []
    store.create("snapshots/one", {"whole": True})
    assert open_store(store.url).read("snapshots/one") == {"whole": True}
