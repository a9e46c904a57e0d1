"""What is true of local storage only: disks that fill up, links, folders in the way, processes that die."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refsys.core.errors import ConfigurationError, Permanent, Transient
from refsys.infra.storage import StorageFull
from refsys.infra.storage.local import LocalStorage


def keys(storage):
    return sorted(info.key for info in storage.list(""))


def being_written(storage):
    return list((storage.root / ".new").iterdir())


def put_all(storage, objects):
    with storage.batch() as batch:
        for key, data in objects.items():
            batch.put(key, data)


@pytest.fixture
def small_disk(tmp_path):
    """A folder in which 4 MiB fit: a file system in memory, or, where none may be mounted, files of 1 MiB at most."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    with contextlib.ExitStack() as stack:
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        else:
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
            stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        yield folder


def _at_once(batch):
    batch.put("a/large", bytes(6 * 2**20))


def _in_pieces(batch):
    with batch.create("a/large") as writer:
        for _ in range(24):
            writer.write(bytes(2**18))


def _in_many_objects(batch):
    for number in range(3):
        batch.put(f"a/{number}", bytes(2**20 + 1))
    batch.put("a/last", bytes(2**20))


@pytest.mark.parametrize("write", [_at_once, _in_pieces, _in_many_objects])
def test_a_full_disk_is_said_to_be_full_and_nothing_stays(small_disk, write):
    storage = LocalStorage(small_disk / "storage")
    storage.put("before", b"stays")

    def fill():
        with storage.batch() as batch:
            write(batch)

    with pytest.raises(StorageFull, match=r"storage .*: has no room left: .*make room") as caught:
        fill()
    assert isinstance(caught.value, Transient)
    assert keys(storage) == ["before"]
    assert being_written(storage) == []
    storage.put("after", bytes(2**19))
    assert keys(storage) == ["after", "before"]


def test_free_room_is_told(tmp_path):
    free, total = LocalStorage(tmp_path).free_bytes()
    assert 0 < free <= total


def test_nothing_is_visible_before_a_batch_is_whole(storage):
    with storage.batch() as batch:
        batch.put("a/b", b"x")
        with batch.create("a/c") as writer:
            writer.write(b"y")
        assert keys(storage) == []
        assert storage.stat("a/b") is None
    assert keys(storage) == ["a/b", "a/c"]
    assert being_written(storage) == []


def test_bytes_are_on_disk_before_their_names_and_names_before_the_batch_ends(storage, monkeypatch):
    synced = []

    def fsync(descriptor, real=os.fsync):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        assert keys(storage) == [] or not synced[-1].is_file()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    put_all(storage, {"a/b/c": b"x", "a/d": b"y"})
    assert [path.parent.parent.name for path in synced[:2]] == [".new", ".new"]
    assert set(synced[2:]) == {storage.root, storage.root / "a", storage.root / "a" / "b"}
    synced.clear()
    storage.move("a", "x/y", ["b/c"])
    assert set(synced) == {storage.root, storage.root / "x", storage.root / "x" / "y", storage.root / "a"}


def test_an_open_reader_reads_on_when_its_object_is_moved_replaced_or_deleted(storage):
    storage.put("a/b", b"first")
    reader = storage.open("a/b")
    storage.move("a", "c", ["b"])
    assert reader.read_at(0, 5) == b"first"
    storage.put("c/b", b"other")
    assert reader.read_at(0, 5) == b"first"
    storage.delete_prefix("c/")
    assert reader.read_at(0, 5) == b"first"
    reader.close()


@pytest.mark.parametrize(("there", "key"), [("a/b", "a"), ("a", "a/b"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")])
def test_a_key_cannot_be_an_object_and_a_folder(storage, there, key):
    storage.put(there, b"there")
    storage.put("replaced", b"as it was")
    with pytest.raises(Permanent, match=r"object and a folder at the same time.*delete"):
        put_all(storage, {"new/object": b"x", "replaced": b"new", key: b"y", "never": b"z"})
    assert {name: storage.read(name) for name in keys(storage)} == {there: b"there", "replaced": b"as it was"}
    assert sorted(path.name for path in storage.root.iterdir()) == sorted([".new", "a", "replaced"])
    assert being_written(storage) == []


def test_a_product_is_not_moved_into_an_object(storage):
    put_all(storage, {"in/NAME/x": b"x", "out": b"an object"})
    with pytest.raises(Permanent, match="object and a folder at the same time"):
        storage.move("in", "out", ["NAME/x"])
    assert storage.read("in/NAME/x") == b"x"


def test_empty_folders_do_not_stay(storage):
    put_all(storage, {"a/b/c/d": b"x", "a/e": b"x"})
    storage.delete(["a/b/c/d"])
    assert sorted(path.name for path in (storage.root / "a").iterdir()) == ["e"]
    storage.delete_prefix("a/")
    assert [path.name for path in storage.root.iterdir()] == [".new"]


def test_links_are_not_followed(storage, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"stays")
    storage.put("a/b", b"x")
    (storage.root / "a" / "link").symlink_to(tmp_path / "outside")
    assert keys(storage) == ["a/b"]
    storage.delete_prefix("a/")
    assert (tmp_path / "outside" / "file").read_bytes() == b"stays"


def test_a_folder_with_a_recent_write_anywhere_in_it_is_not_stale(storage):
    put_all(storage, {"attempts/old/x/y": b"x", "attempts/young/x/y": b"x"})
    hours_ago = datetime.now(UTC).timestamp() - 7200
    for path in (storage.root / "attempts").rglob("*"):
        if path.name != "y" or "old" in path.parts:
            os.utime(path, (hours_ago, hours_ago))
    assert storage.stale("attempts/", datetime.now(UTC) - timedelta(hours=1)) == ["attempts/old"]


WRITER = """
import sys
from pathlib import Path
from refsys.infra.storage.local import LocalStorage
with LocalStorage(Path(sys.argv[1])).batch() as batch:
    batch.put("a/small", b"x")
    with batch.create("a/large") as writer:
        writer.write(bytes(2**22))
        print("written", flush=True)
        sys.stdin.read()
"""


def test_what_a_killed_process_was_writing_is_never_seen_and_swept_a_day_later(storage):
    words = [sys.executable, "-c", WRITER, str(storage.root)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert keys(storage) == []
    storage.sweep_unfinished("attempts/", datetime.now(UTC) - timedelta(days=1))
    (left,) = being_written(storage)
    two_days_ago = datetime.now(UTC).timestamp() - 2 * 86400
    for path in [*left.iterdir(), left]:
        os.utime(path, (two_days_ago, two_days_ago))
    storage.sweep_unfinished("attempts/", datetime.now(UTC) - timedelta(days=1))
    assert being_written(storage) == []


def test_a_file_cannot_be_storage(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"cannot be used as storage.*check storage_url"):
        LocalStorage(tmp_path / "file")


def test_a_partial_is_gone_on_with_by_the_next_who_asks(tmp_path):
    storage, data = LocalStorage(tmp_path / "storage"), os.urandom(3_000_000)
    partial = storage.partial("file 1")
    assert (partial.size_bytes, partial.tag) == (0, "")
    partial.label("v1")
    partial.write(data[:2_000_000])
    partial.close()
    with contextlib.closing(storage.partial("file 1")) as again, contextlib.closing(storage.partial("file 2")) as other:
        assert (other.size_bytes, again.size_bytes, again.tag) == (0, 2_000_000, "v1")
        assert b"".join(map(bytes, again.pieces())) == data[:2_000_000]
        again.write(memoryview(data)[2_000_000:])
        assert keys(storage) == []
        again.commit("a/b/large")
        other.discard()
    assert storage.read("a/b/large") == data
    with contextlib.closing(storage.partial("file 1")) as new:
        assert new.size_bytes == 0
        new.discard()
    assert being_written(storage) == []


def test_a_partial_that_somebody_holds_is_left_to_him(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    frozen = storage.partial("file")
    frozen.label("v1")
    frozen.write(b"half")
    with contextlib.closing(storage.partial("file")) as fresh:
        assert fresh.size_bytes == 0
        fresh.write(b"whole")
        fresh.commit("a/fresh")
    frozen.write(b" and half")
    frozen.commit("a/frozen")
    frozen.close()
    assert (storage.read("a/fresh"), storage.read("a/frozen")) == (b"whole", b"half and half")


def test_a_partial_outlives_the_process_that_was_writing_it(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    script = (
        "import sys; from pathlib import Path; from refsys.infra.storage.local import LocalStorage\n"
        f"partial = LocalStorage(Path({str(storage.root)!r})).partial('file')\n"
        "partial.label('v1'); partial.write(b'x' * 1_000_000); print('written', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        with contextlib.closing(storage.partial("file")) as fresh:
            assert fresh.size_bytes == 0
            fresh.discard()
        writer.send_signal(signal.SIGKILL)
    with contextlib.closing(storage.partial("file")) as left:
        assert (left.size_bytes, left.tag) == (1_000_000, "v1")


def test_a_partial_whose_content_nobody_knows_begins_again(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    for _ in range(2):
        with contextlib.closing(storage.partial("file")) as partial:
            assert partial.size_bytes == 0
            partial.write(b"unlabelled")


def test_partials_are_swept_when_nobody_has_gone_on_with_them_for_a_day(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    storage.partial("old").close()
    storage.partial("new").close()
    old, new = sorted(being_written(storage), key=lambda path: path.stat().st_mtime_ns)
    os.utime(old, (0, 0))
    storage.sweep_unfinished("attempts/", datetime.now(UTC) - timedelta(days=1))
    assert being_written(storage) == [new]


def test_a_partial_on_a_full_disk_says_so_and_can_be_discarded(small_disk):
    storage = LocalStorage(small_disk)
    with contextlib.closing(storage.partial("file")) as partial:
        with pytest.raises(StorageFull):
            partial.write(bytes(6 * 2**20))
        partial.discard()
    assert being_written(storage) == []
