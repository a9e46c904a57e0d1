"""One contract, two back ends: what `refsys.infra.storage` promises, of a local folder and of a real S3 gateway."""

import concurrent.futures
import itertools
import random
import resource
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refsys.core.errors import HostileInput, RefsysError, Transient
from refsys.infra.storage import MissingObject
from refsys.infra.storage.local import LocalStorage
from refsys.infra.storage.s3 import S3Storage

LARGE = random.Random(1).randbytes(20 * 2**20 + 7)
BASE = "attempts/7f0c"
NAME = "S1A_X.SAFE"
FILES = {f"{NAME}/manifest.safe": b"m", f"{NAME}/annotation/a.xml": b"aa", f"{NAME}/measurement/b.tiff": b"bbb"}


@pytest.fixture(scope="module")
def bucket(s3_gateway):
    """One for all tests: each has a prefix of its own."""
    return s3_gateway.new_bucket()


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    """Storage with nothing in it, of each kind."""
    if request.param == "local":
        return LocalStorage(tmp_path / "storage")
    bucket, gateway = request.getfixturevalue("bucket"), request.getfixturevalue("s3_gateway")
    return S3Storage.of(f"s3://{bucket}/some/{uuid.uuid4().hex}", gateway.settings)


def keys(store, prefix=""):
    return sorted(info.key for info in store.list(prefix))


def put_all(store, objects, base=""):
    with store.batch() as batch:
        for path, data in objects.items():
            batch.put(f"{base}/{path}" if base else path, data)


def together(*actions):
    """Run the actions at the same time; their errors are raised."""
    with concurrent.futures.ThreadPoolExecutor(len(actions)) as threads:
        for future in [threads.submit(action) for action in actions]:
            future.result()


def test_what_is_put_is_read(store):
    for number, data in enumerate((b"", b"x", LARGE)):
        store.put(f"a/{number}", data)
        assert store.read(f"a/{number}") == data


def test_an_object_is_written_piece_by_piece(store):
    with store.batch() as batch:
        with batch.create("large") as writer:
            for start in range(0, len(LARGE), 999_999):
                writer.write(memoryview(LARGE)[start : start + 999_999])
        with batch.create("empty"):
            pass
        with batch.create("small") as writer:
            writer.write(b"a")
            writer.write(b"b")
    assert store.read("large") == LARGE
    assert store.read("empty") == b""
    assert store.read("small") == b"ab"


def test_a_writer_keeps_nothing_of_the_buffer_that_it_was_given(store):
    buffer = bytearray(2**20)
    with store.batch() as batch, batch.create("large") as writer:
        for start in range(0, len(LARGE), len(buffer)):
            piece = LARGE[start : start + len(buffer)]
            buffer[: len(piece)] = piece
            writer.write(memoryview(buffer)[: len(piece)])
    assert store.read("large") == LARGE


def test_an_object_has_size_and_time(store):
    store.put("a/b", b"12345")
    found = store.stat("a/b")
    assert (found.key, found.size_bytes) == ("a/b", 5)
    assert abs(found.modified_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert list(store.list("a/")) == [found]


@pytest.mark.parametrize("key", ["a", "a/nothing", "nothing/at/all", "a/b/c/d"])
def test_what_is_not_there_is_missing(store, key):
    store.put("a/b", b"x")
    assert store.stat(key) is None
    with pytest.raises(MissingObject, match=f"{key}: is not in storage .*fetch"):
        store.open(key)
    with pytest.raises(Transient):
        store.read(key)


def test_an_object_is_replaced(store):
    store.put("a/b", b"first and long")
    store.put("a/b", b"second")
    assert store.read("a/b") == b"second"
    assert keys(store) == ["a/b"]


@pytest.mark.parametrize(
    "name", ["a b", "a%41", "100%", "a+b", "a#b?c&d=e", "é/ü", "a~b", "'\"", "[x]*", "a:b;c,d", "…"]
)
def test_names_are_kept_as_they_are(store, name):
    store.put(f"odd/{name}", name.encode())
    assert keys(store) == [f"odd/{name}"]
    assert store.read(f"odd/{name}") == name.encode()
    store.move("odd", "even", [name])
    assert store.read(f"even/{name}") == name.encode()
    store.delete([f"even/{name}", f"odd/{name}"])
    assert keys(store) == []


def test_parts_are_read(store):
    data = bytes(range(256))
    store.put("a", data)
    reader = store.open("a")
    assert reader.size_bytes == 256
    assert reader.read_at(0, 256) == data
    assert reader.read_at(10, 5) == data[10:15]
    assert reader.read_at(250, 100) == data[250:]
    assert reader.read_at(0, 2**40) == data
    assert reader.read_at(255, 1) == data[255:]
    assert reader.read_at(256, 1) == b""
    assert reader.read_at(10**9, 10) == b""
    assert reader.read_at(5, 0) == b""
    reader.close()
    reader.close()
    assert [store.read("a", most) for most in (0, 10, 256, 2**40)] == [b"", data[:10], data, data]


def test_threads_share_a_reader(store):
    store.put("a", LARGE)
    reader = store.open("a")
    starts = range(0, len(LARGE), 2**20)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert b"".join(threads.map(lambda start: reader.read_at(start, 2**20), starts)) == LARGE
    reader.close()


def test_a_list_holds_what_begins_with_the_prefix(store):
    put_all(store, dict.fromkeys(["a/b/c", "a/b/d", "a/bc", "a/bd/e", "ab", "b"], b"x"))
    assert keys(store) == ["a/b/c", "a/b/d", "a/bc", "a/bd/e", "ab", "b"]
    assert keys(store, "a") == ["a/b/c", "a/b/d", "a/bc", "a/bd/e", "ab"]
    assert keys(store, "a/") == ["a/b/c", "a/b/d", "a/bc", "a/bd/e"]
    assert keys(store, "a/b") == ["a/b/c", "a/b/d", "a/bc", "a/bd/e"]
    assert keys(store, "a/b/") == ["a/b/c", "a/b/d"]
    assert keys(store, "a/b/c") == ["a/b/c"]
    assert keys(store, "a/b/c/") == []
    assert keys(store, "c") == []


def test_objects_are_deleted_and_nothing_else(store):
    put_all(store, dict.fromkeys(["a/b/c", "a/b/d", "a/e"], b"x"))
    store.delete(["a/b/c", "a/e", "not/there", "a/b"])
    assert keys(store) == ["a/b/d"]
    store.delete([])
    store.delete(["a/b/c"])
    assert keys(store) == ["a/b/d"]


def test_very_many_objects_are_written_listed_and_deleted(store):
    """More than one page of S3 (1000), and more than a process may have open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 200, hard))
    try:
        put_all(store, {f"many/{number:04}": b"x" for number in range(1100)})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert keys(store) == [f"many/{number:04}" for number in range(1100)]
    store.delete_prefix("many/")
    assert keys(store) == []


@pytest.mark.parametrize("prefix", ["a/b", "a/b/"])
def test_a_folder_is_deleted_and_its_neighbours_stay(store, prefix):
    put_all(store, dict.fromkeys(["a/b/c", "a/b/d/e", "a/bc", "b"], b"x"))
    store.delete_prefix(prefix)
    assert keys(store) == ["a/bc", "b"]
    store.delete_prefix(prefix)
    store.delete_prefix("not/there/")
    assert keys(store) == ["a/bc", "b"]


def test_an_object_is_no_folder_to_delete(store):
    store.put("a/b", b"x")
    store.delete_prefix("a/b/")
    assert store.read("a/b") == b"x"


@pytest.mark.parametrize("files", [FILES, {NAME: b"one file"}, {"x/a": b"1", "y": b"2", "z/b/c": b"3"}])
def test_a_product_is_moved(store, files):
    put_all(store, files, BASE)
    store.move(BASE, "S1/SAR/2021", list(files))
    assert {key: store.read(f"S1/SAR/2021/{key}") for key in files} == files
    store.delete_prefix(f"{BASE}/")
    assert keys(store) == sorted(f"S1/SAR/2021/{key}" for key in files)


def test_a_move_may_be_repeated(store):
    put_all(store, FILES, BASE)
    store.move(BASE, "final", list(FILES))
    store.move(BASE, "final", list(FILES))
    store.delete_prefix(f"{BASE}/")
    store.move(BASE, "final", list(FILES))
    assert {key: store.read(f"final/{key}") for key in FILES} == FILES


def test_a_move_that_was_cut_goes_on(store):
    put_all(store, FILES, BASE)
    first = next(iter(FILES))
    store.put(f"final/{first}", FILES[first])
    store.delete([f"{BASE}/{first}"])
    store.move(BASE, "final", list(FILES))
    assert {key: store.read(f"final/{key}") for key in FILES} == FILES


def test_a_move_replaces_what_it_moves_and_leaves_the_rest(store):
    put_all(store, FILES, BASE)
    put_all(store, {f"final/{NAME}/manifest.safe": b"older", f"final/{NAME}/other": b"stays", "final/next": b"stays"})
    store.move(BASE, "final", list(FILES))
    assert store.read(f"final/{NAME}/manifest.safe") == b"m"
    assert store.read(f"final/{NAME}/other") == b"stays"
    assert store.read("final/next") == b"stays"
    assert keys(store, "final/") == sorted([*(f"final/{key}" for key in FILES), f"final/{NAME}/other", "final/next"])


@pytest.mark.parametrize("lacking", list(FILES))
def test_a_move_of_what_is_nowhere_is_an_error(store, lacking):
    put_all(store, {key: data for key, data in FILES.items() if key != lacking}, BASE)
    with pytest.raises(MissingObject, match=lacking):
        store.move(BASE, "final", list(FILES))
    store.put(f"{BASE}/{lacking}", FILES[lacking])
    store.move(BASE, "final", list(FILES))
    assert {key: store.read(f"final/{key}") for key in FILES} == FILES


def test_a_move_of_nothing_is_nothing(store):
    store.move("a", "b", [])
    assert keys(store) == []


class Refused(Exception):
    pass


@pytest.mark.parametrize("error", [Refused, KeyboardInterrupt])
def test_an_exception_takes_a_batch_back(store, error):
    def broken_off():
        with store.batch() as batch:
            batch.put("a/small", b"x")
            with batch.create("a/large") as writer:
                writer.write(LARGE)
            raise error

    store.put("before", b"stays")
    with pytest.raises(error):
        broken_off()
    assert keys(store) == ["before"]


def test_an_exception_in_the_midst_of_an_object_takes_the_batch_back(store):
    def broken_off():
        with store.batch() as batch:
            batch.put("a/small", b"x")
            with batch.create("a/large") as writer:
                writer.write(LARGE)
                raise Refused

    with pytest.raises(Refused):
        broken_off()
    assert keys(store) == []


def test_a_batch_may_be_empty(store):
    with store.batch():
        pass
    assert keys(store) == []


def test_a_key_is_written_once_in_a_batch(store):
    def twice():
        with store.batch() as batch:
            batch.put("a/b", b"1")
            batch.put("a/b", b"2")

    with pytest.raises(RefsysError, match="a/b: is written twice in one batch"):
        twice()
    assert keys(store) == []


OUTSIDE = [
    "../x",
    "a/../../x",
    "/etc/x",
    "a//b",
    "./a",
    "a/.",
    "..",
    "",
    "a/",
    "a\0b",
    "a\nb",
    "a\\..\\b",
    "\udcff",
    ".new/x",
]


@pytest.mark.parametrize("key", [*OUTSIDE, "a" * 256, "é" * 128, "a/" * 513])
def test_a_key_that_leaves_its_folder_or_is_too_long_is_refused(store, key):
    store.put("a", b"x")
    for ask in (store.open, store.stat, store.read, lambda key: store.put(key, b"x"), lambda key: store.delete([key])):
        with pytest.raises(HostileInput, match="storage key"):
            ask(key)
    for source, target in (("a", key), (key, "a")):
        with pytest.raises(HostileInput, match="storage key"):
            store.move(source, target, [""])
    with pytest.raises(HostileInput, match="storage key"), store.batch() as batch, batch.create(key):
        pass
    assert keys(store) == ["a"]


@pytest.mark.parametrize("prefix", ["../", "a/../..", "/", "", "//", "./", ".new/"])
def test_a_folder_that_leaves_storage_or_is_all_of_it_is_refused(store, prefix):
    store.put("a", b"x")
    with pytest.raises(HostileInput, match="storage key"):
        store.delete_prefix(prefix)
    with pytest.raises(HostileInput, match="storage key"):
        store.stale(prefix, datetime.now(UTC))
    with pytest.raises(HostileInput, match="storage key"):
        store.sweep_unfinished(prefix, datetime.now(UTC))
    assert keys(store) == ["a"]


@pytest.mark.parametrize("prefix", ["../", "../x", "a/../../x", "/", "/x", "./x"])
def test_a_list_does_not_leave_storage(store, prefix):
    with pytest.raises(HostileInput, match="storage key"):
        list(store.list(prefix))


def test_folders_without_writes_are_stale(store):
    put_all(store, dict.fromkeys(["attempts/a/x/y", "attempts/b/x", "attempts/file", "other/c/x"], b"x"))
    now = datetime.now(UTC)
    assert sorted(store.stale("attempts", now + timedelta(hours=1))) == ["attempts/a", "attempts/b"]
    assert sorted(store.stale("attempts/", now + timedelta(hours=1))) == ["attempts/a", "attempts/b"]
    assert list(store.stale("attempts/", now - timedelta(hours=1))) == []
    assert list(store.stale("nothing/", now)) == []


def test_a_reader_never_sees_half_of_an_object(store):
    contents = [bytes([number]) * 300_000 for number in range(20)]
    store.put("a", contents[0])

    def write():
        for data in contents:
            store.put("a", data)

    def read():
        for _ in range(40):
            assert store.read("a") in contents

    together(write, read, read)
    assert store.read("a") == contents[-1]


def test_of_two_batches_on_the_same_keys_one_wins_whole_objects(store):
    def write(letter):
        for _ in range(5):
            put_all(store, {f"a/{number}": letter * 10_000 for number in range(5)})

    together(lambda: write(b"1"), lambda: write(b"2"), lambda: write(b"3"))
    assert {store.read(f"a/{number}") for number in range(5)} <= {letter * 10_000 for letter in (b"1", b"2", b"3")}
    assert keys(store) == [f"a/{number}" for number in range(5)]


def test_two_who_move_the_same_product_both_succeed(store):
    for number in range(20 if isinstance(store, LocalStorage) else 1):
        put_all(store, FILES, f"{BASE}/{number}")
        together(*[lambda number=number: store.move(f"{BASE}/{number}", f"final/{number}", list(FILES))] * 3)
        assert {key: store.read(f"final/{number}/{key}") for key in FILES} == FILES


def test_who_moves_and_writes_is_not_disturbed_by_who_deletes_beside(store):
    """The last object of a folder goes, and with it the folder, just when somebody puts another one there."""
    rounds = 60 if isinstance(store, LocalStorage) else 10
    numbers = itertools.count()

    def deliver():
        for number in itertools.islice(numbers, rounds):
            store.put(f"in/{number}/{NAME}/x", b"x")
            store.move(f"in/{number}", f"out/2021/08/{number}", [f"{NAME}/x"])
            store.put(f"out/2021/08/{number}.txt", b"x")
            store.delete([f"out/2021/08/{number}/{NAME}/x", f"out/2021/08/{number}.txt"])
            store.delete_prefix(f"in/{number}/")

    together(deliver, deliver, deliver, deliver)
    assert keys(store) == []


def test_single_objects_of_a_batch_can_be_taken_back(store):
    def write(batch, number):
        for key, data in (("x", b"x"), ("x/large", LARGE), ("y", b"y")):
            with batch.create(f"in/{number}/{key}" if key != "x" else f"in/{number}/z") as writer:
                writer.write(data)

    with store.batch() as batch:
        together(*[lambda number=number: write(batch, number) for number in range(4)])
        batch.drop("in/1")
        batch.drop("in/2/x")
        batch.drop("in/3/y")
        batch.drop("in/7")
    assert keys(store) == [
        "in/0/x/large", "in/0/y", "in/0/z", "in/2/y", "in/2/z", "in/3/x/large", "in/3/z",
    ]  # fmt: skip


def test_what_is_dropped_can_be_written_again(store):
    with store.batch() as batch:
        for data in (b"1", b"2"):
            batch.put("a/b", data)
            if data == b"1":
                batch.drop("a")
    assert store.read("a/b") == b"2"


def test_a_large_object_whose_writing_fails_leaves_nothing(store):
    def write() -> None:
        with store.batch() as batch, batch.create("a/large") as writer:
            writer.write(LARGE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert keys(store) == []
