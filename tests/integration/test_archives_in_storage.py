"""Deliveries on their way into real storage: what comes arrives whole, what is refused leaves nothing behind."""

import os
import shutil
from pathlib import Path

import pytest

from refsys.core.errors import HostileInput, InvalidProduct, Transient
from refsys.ingestion.archives import Limits, store_folder, unpack
from tests.archive_makers import BASE, FILES, LIMITS, NAME, ZipMember, gzipped, in_folder, raw_zip, tar_of, zip_of

WIDE = Limits(max_bytes=2**30, max_members=1000, max_ratio=200)
#: Sound in its first members, refused for the last.
REFUSED = {
    "a wrong checksum": raw_zip(*[ZipMember(name.encode(), data) for name, data in in_folder().items()],
                                ZipMember(f"{NAME}/z".encode(), b"right", packed=b"wrong")),
    "a name outside": tar_of(in_folder() | {"../x": b"x"}),
    "a bomb": gzipped(tar_of(in_folder() | {f"{NAME}/z": bytes(2**23)})),
    "a cut": gzipped(tar_of(in_folder({"large": os.urandom(2**22)})))[:-100],
}  # fmt: skip


def everything(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.name != ".new")


def put(storage, source, name=NAME, limits=LIMITS):
    with storage.batch() as batch, source.open("rb") as file:
        return unpack(file, archive=source.name, product=name, base=BASE, batch=batch, limits=limits)


@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda members: gzipped(tar_of(members))])
def test_a_delivery_arrives_whole(storage, tmp_path, pack):
    archive = tmp_path / f"{NAME}.zip"
    archive.write_bytes(pack(in_folder()))
    table = put(storage, archive)
    assert {entry.path: storage.read(f"{BASE}/{entry.path}") for entry in table} == in_folder()


@pytest.mark.parametrize("why", REFUSED)
def test_nothing_stays_of_what_is_refused(storage, tmp_path, why):
    archive = tmp_path / f"{NAME}.zip"
    archive.write_bytes(REFUSED[why])
    around = everything(tmp_path)
    with pytest.raises((HostileInput, InvalidProduct)):
        put(storage, archive)
    assert everything(storage.root) == []
    assert list(storage.list("")) == []
    assert everything(tmp_path) == around


def test_what_lay_there_before_stays_when_a_delivery_is_refused(storage, tmp_path):
    storage.put(f"{BASE}/{NAME}/manifest.safe", b"before")
    archive = tmp_path / f"{NAME}.zip"
    archive.write_bytes(REFUSED["a wrong checksum"])
    with pytest.raises(InvalidProduct):
        put(storage, archive)
    assert storage.read(f"{BASE}/{NAME}/manifest.safe") == b"before"


def _products(shared_data):
    return [
        path
        for mission in ("sentinel-1", "sentinel-2", "sentinel-3")
        for path in sorted((shared_data / mission).iterdir())
    ]


def test_real_products_come_out_of_every_container_as_they_lie_in_their_folder(storage, shared_data, tmp_path):
    for product in _products(shared_data):
        if not product.is_dir():
            continue
        with storage.batch() as batch:
            lying = store_folder(product, product=product.name, base=f"{BASE}/folder", batch=batch, limits=WIDE)
        # what `zip` and `tar` make of them: members in the order of the disk, folders among them
        zipped = Path(shutil.make_archive(str(tmp_path / "x"), "zip", product.parent, product.name))
        tarred = Path(shutil.make_archive(str(tmp_path / "y"), "gztar", product.parent, product.name))
        assert put(storage, zipped, product.name, WIDE) == lying
        assert put(storage, tarred, product.name, WIDE) == lying
        files = [entry for entry in lying if not entry.is_folder]
        assert sorted(entry.path for entry in files) == sorted(
            path.relative_to(product.parent).as_posix() for path in product.rglob("*") if path.is_file()
        )
        for entry in files:
            assert storage.read(f"{BASE}/{entry.path}") == (product.parent / entry.path).read_bytes()


@pytest.fixture
def folder(tmp_path):
    """A product in a local folder."""
    for path, data in FILES.items():
        file = tmp_path / NAME / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return tmp_path / NAME


def take(storage, folder, limits=LIMITS, check=lambda: None):
    with storage.batch() as batch:
        return store_folder(folder, product=NAME, base=BASE, batch=batch, limits=limits, check=check)


def test_a_folder_has_the_table_that_its_archive_has(storage, folder, tmp_path):
    (folder / "preview" / "icons").mkdir()
    archive = Path(shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, NAME))
    table = take(storage, folder)
    assert table == put(storage, archive)
    assert [entry.path for entry in table if entry.is_folder] == [f"{NAME}/preview/icons"]


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "manifest.safe", "nowhere"])
def test_links_in_a_folder_are_refused(storage, folder, target):
    (folder / "annotation" / "link").symlink_to(target)
    with pytest.raises(HostileInput, match="annotation/link: is a link"):
        take(storage, folder)
    assert everything(storage.root) == []


def test_a_folder_that_is_itself_a_link_is_refused(storage, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(HostileInput, match="is a link"):
        take(storage, tmp_path / "link")


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(storage, folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(HostileInput, match="pipe: is a link, a device or a pipe"):
        take(storage, folder)


def test_a_folder_beyond_the_limits_is_refused(storage, folder):
    with pytest.raises(HostileInput, match="more than 1000 bytes"):
        take(storage, folder, Limits(1000, 50, 200))
    with pytest.raises(HostileInput, match="more than 3 files"):
        take(storage, folder, Limits(10**6, 3, 200))
    assert everything(storage.root) == []


def test_odd_names_in_a_folder_are_refused(storage, folder):
    (folder / "new\nline").write_bytes(b"x")
    with pytest.raises(HostileInput, match="invisible"):
        take(storage, folder)
    (folder / "new\nline").unlink()
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9")).write_bytes(b"x")
    with pytest.raises(InvalidProduct, match="not UTF-8"):
        take(storage, folder)


def test_an_empty_folder_is_refused(storage, tmp_path):
    (tmp_path / NAME / "inner").mkdir(parents=True)
    with pytest.raises(InvalidProduct, match="holds no file"):
        take(storage, tmp_path / NAME)


def test_a_folder_that_vanishes_is_tried_again(storage, folder, tmp_path):
    with pytest.raises(Transient, match=r"cannot be read: No such file.*tried again"):
        take(storage, tmp_path / "nowhere")

    def remove_the_rest():
        shutil.rmtree(folder / "preview", ignore_errors=True)

    with pytest.raises(Transient, match=r"preview.*cannot be read: No such file.*tried again"):
        take(storage, folder, check=_at_the_third_call(remove_the_rest))
    assert everything(storage.root) == []


def test_a_file_that_grows_while_it_is_read_is_tried_again(storage, folder):
    (folder / "aaa").write_bytes(os.urandom(3 * 2**20))

    def grow():
        with (folder / "aaa").open("ab") as file:
            file.write(b"more")

    with pytest.raises(Transient, match=r"aaa: changes while it is read.*tried again"):
        take(storage, folder, check=_at_the_third_call(grow))
    assert everything(storage.root) == []


def _at_the_third_call(action):
    calls = []

    def check():
        calls.append(None)
        if len(calls) == 3:
            action()

    return check
