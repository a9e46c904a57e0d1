"""The embedded PostgreSQL: initialise, start, await, stop; socket in a private folder, no TCP.

    <folder>/data      the cluster, mode 700, owned by the account that runs it
    <folder>/socket    a file that names the folder of the socket (short path, mode 700, below the temporary folder)

As root the data folder is handed to PostgreSQL as an open descriptor (`/proc/self/fd/N`): the state may lie below
folders that the account cannot enter, and nobody's permissions are changed for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil
import structlog

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.runtime import leash
from refsys.runtime.logfiles import tail
from refsys.runtime.pginstall import Account, Installation, choose_account, find_installation

log = structlog.get_logger(__name__)

DATABASE: Final = "refsys"
USER: Final = "refsys"

#: sun_path holds 108 bytes with its final zero (unix(7)); the socket is called .s.PGSQL.5432.
_SOCKET_FOLDER_LIMIT = 108 - len("/.s.PGSQL.5432") - 1
_POLL_S = 0.02

_OPTIONS: Final = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
}


class EmbeddedPostgres:
    """One server on one folder; blocking, and to be started from a thread that lives as long as it shall.

    `options` are server settings on top of ours. `log_file` gets its output. The caller keeps others away from the
    folder (the supervisor by its lock on the state folder).
    """

    def __init__(
        self,
        folder: Path,
        *,
        log_file: Path | None = None,
        options: Mapping[str, str] = MappingProxyType({}),
        durable: bool = True,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_file = log_file or folder / "postgresql.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._options = {**_OPTIONS, **options}
        if not durable:
            self._options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        self._durable = durable
        self._account: Account
        self._installation: Installation
        self._socket_folder: Path

    @property
    def dsn(self) -> str:
        return dsn_of(self.folder)

    def start(self, timeout_s: float = 300.0) -> str:
        """Prepare, launch, await readiness; returns the dsn. Raises what `prepare` and `is_ready` raise."""
        self.prepare()
        self.launch()
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if time.monotonic() > deadline:
                self.stop()
                raise RefsysError(
                    f"PostgreSQL is not ready after {timeout_s:.0f} s:\n{tail(self.log_file)}", subject=str(self.data)
                )
            time.sleep(_POLL_S)
        return self.dsn

    def prepare(self) -> None:
        """Settle what an earlier start left; make the cluster if it is new (seconds; any thread).

        Raises ConfigurationError (another major version, no user to run as), RefsysError with what initdb said.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        exists = self.data.is_dir()
        self._account = choose_account(self.data.stat().st_uid if exists else None)
        self._installation = find_installation(self._account)
        if exists:
            _check_version(self.data, self._installation)
            self.settle()
        else:
            self._initialise(self._account, self._installation)
        self._socket_folder = _make_socket_folder(self.folder, self._account)

    def launch(self) -> None:
        """Start the server (at once). It gets a fast shutdown from the kernel when the calling thread ends."""
        account, program = self._account, str(self._installation.bin / "postgres")
        settings = self._options | {"unix_socket_directories": str(self._socket_folder)}
        with _reachable(self.data, account) as (data, descriptors), self.log_file.open("ab") as output:
            words = [program, "-D", data]
            for name, value in settings.items():
                words += ["-c", f"{name}={value}"]
            self.process = subprocess.Popen(
                leash.command(words, death_signal=signal.SIGINT, uid=account.uid, gid=account.gid),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=descriptors,
                start_new_session=True,
                env=_environment(),
                cwd="/",
            )

    def is_ready(self) -> bool:
        """Readiness as pg_ctl sees it: the eighth line of postmaster.pid (utils/pidfile.h, PM_STATUS_READY).

        Raises RefsysError with the log's end where the server ended instead.
        """
        assert self.process is not None, "launch() comes first"
        if self.process.poll() is not None:
            raise RefsysError(f"PostgreSQL did not start:\n{tail(self.log_file)}", subject=str(self.data))
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8").splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready" or lines[0].strip() != str(self.process.pid):
            return False
        log.info("postgres.ready", version=self._installation.version, user=self._account.name, pid=self.process.pid)
        return True

    def stop(self, timeout_s: float = 60.0) -> None:
        """Fast shutdown (sessions are ended, everything is written); harder after `timeout_s`."""
        if self.process is not None:
            _end(self.process, timeout_s)
        _remove_socket_folder(self.folder)

    def settle(self, timeout_s: float = 60.0) -> None:
        """Stop the server that a killed supervisor left on this folder, and remove the pid file of a dead one.

        The caller's lock says that nobody else supervises the folder. Every process whose working directory is the
        data folder has to be gone before the pid file may be: a new server beside an old backend would ruin the data.
        """
        pid_file = self.data / "postmaster.pid"
        left = processes_of(self.data)
        if left:
            log.warning("postgres.left_over", pids=[process.pid for process in left])
            postmaster = _pid_in(pid_file)
            for process in left:
                if process.pid == postmaster:
                    _end(process, timeout_s)
            _gone, alive = psutil.wait_procs(processes_of(self.data), timeout=10)
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=10)
            if alive := processes_of(self.data):
                raise RefsysError(
                    f"processes of an earlier server do not end: {', '.join(str(p.pid) for p in alive)}",
                    subject=str(self.data),
                    advice="end them by hand, then start again",
                )
        pid_file.unlink(missing_ok=True)

    def _initialise(self, account: Account, installation: Installation) -> None:
        """Make the cluster beside its place and move it there whole: a start that was cut leaves nothing half."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if account.is_other:
            os.chown(new, account.uid, account.gid)
        with _reachable(new, account) as (data, descriptors):
            initdb = [str(installation.bin / "initdb"), "-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8"]
            initdb += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            _run(initdb if self._durable else [*initdb, "--no-sync"], account, descriptors)
            single = [
                str(installation.bin / "postgres"),
                "--single",
                "-D",
                data,
                "-c",
                f"fsync={'on' if self._durable else 'off'}",
            ]
            _run([*single, "postgres"], account, descriptors, f"CREATE DATABASE {DATABASE}\n")
        new.rename(self.data)
        _sync_folder(self.folder)


def dsn_of(folder: Path) -> str:
    """Address of the server that runs on this folder. Raises RefsysError where none does."""
    try:
        socket_folder = (folder / "socket").read_text("utf-8").strip()
    except OSError as error:
        raise RefsysError(
            "no PostgreSQL is running here", subject=str(folder), advice="start the system with `refsys up`"
        ) from error
    return f"postgresql://{USER}@/{DATABASE}?host={socket_folder}"


def processes_of(data: Path) -> list[psutil.Process]:
    """Processes whose working directory is the data folder: a postmaster and its children, nobody else."""
    wanted = data.resolve()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == "postgres" and Path(process.cwd()) == wanted:
                found.append(process)
    return found


def _end(process: subprocess.Popen[bytes] | psutil.Process, timeout_s: float) -> None:
    """PostgreSQL's three ways to go: fast, immediate, killed (server documentation, "Shutting Down the Server")."""
    harder_s = min(timeout_s, 10.0)
    for sent, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, harder_s), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(sent)
            with contextlib.suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
                process.wait(patience_s)
                return
            log.warning("postgres.stop.slow", pid=process.pid, signal=sent.name, patience_s=patience_s)


def _pid_in(pid_file: Path) -> int:
    try:
        return int(pid_file.read_text("utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return 0


def _check_version(data: Path, installation: Installation) -> None:
    try:
        found = (data / "PG_VERSION").read_text("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"is not a PostgreSQL data folder: {error}", subject=str(data)) from error
    if found != str(installation.major):
        raise ConfigurationError(
            f"was made by PostgreSQL {found}; the one installed is {installation.version}",
            subject=str(data),
            advice=f"install the release of refsys that used PostgreSQL {found}, dump with pg_dump, and restore here",
        )


@contextlib.contextmanager
def _reachable(folder: Path, account: Account) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A path by which the account reaches `folder`, and the descriptors its process has to inherit for it."""
    if not account.is_other or sys.platform != "linux":
        yield str(folder.resolve()), ()
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _make_socket_folder(folder: Path, account: Account) -> Path:
    """A private folder for the socket, recorded in `<folder>/socket`; the same as long as it is good."""
    uid = account.uid if account.is_other else os.geteuid()
    with contextlib.suppress(OSError):
        path = Path((folder / "socket").read_text("utf-8").strip())
        about = path.lstat()
        if stat.S_ISDIR(about.st_mode) and about.st_uid == uid and stat.S_IMODE(about.st_mode) == 0o700:
            for left in path.iterdir():  # the lock file in it names a pid that may be somebody else's by now
                left.unlink()
            return path
    for place in (tempfile.gettempdir(), "/tmp"):  # noqa: S108
        path = Path(tempfile.mkdtemp(prefix="refsys-pg-", dir=place))
        if len(os.fsencode(path)) <= _SOCKET_FOLDER_LIMIT:
            break
        path.rmdir()
    if account.is_other:
        os.chown(path, account.uid, account.gid)
    (folder / "socket").write_text(f"{path}\n", "utf-8")
    return path


def _remove_socket_folder(folder: Path) -> None:
    """Remove what `_make_socket_folder` made, and nothing that only pretends to be it."""
    record = folder / "socket"
    with contextlib.suppress(OSError):
        path = Path(record.read_text("utf-8").strip())
        if path.name.startswith("refsys-pg-") and stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
    record.unlink(missing_ok=True)


def _run(words: list[str], account: Account, descriptors: tuple[int, ...], text: str = "") -> None:
    done = subprocess.run(
        leash.command(words, uid=account.uid, gid=account.gid),
        input=text,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=descriptors,
        env=_environment(),
        cwd="/",
    )
    if done.returncode != 0:
        raise RefsysError(f"{Path(words[0]).name} failed (exit {done.returncode}):\n{done.stdout}{done.stderr}")


def _environment() -> dict[str, str]:
    """What PostgreSQL's programs may know of us: no PG* variable of the user's leads them astray."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
