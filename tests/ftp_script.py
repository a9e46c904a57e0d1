"""An FTP server that answers as a test says: what no decent server does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Script:
    """`listings` maps folders to what LIST sends of them, `files` paths to bytes.

    `ends_with` is what is said after each transfer, `replies` what is said to commands instead of what is usual, `drip`
    whether listings come byte by byte and never end, `ignores_rest` whether files always come from their beginning.
    """

    listings: Mapping[str, bytes]
    files: Mapping[str, bytes] = field(default_factory=dict)
    ends_with: str = "226 done"
    replies: dict[str, str] = field(default_factory=dict)
    drip: bool = False
    ignores_rest: bool = False
    asked: list[str] = field(default_factory=list)
    connected: set[socket.socket] = field(default_factory=set)
    port: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"ftp://127.0.0.1:{self.port}/"


@contextlib.contextmanager
def scripted(script: Script) -> Iterator[Script]:
    """Served for the time of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        script.port = listening.getsockname()[1]
        accepting = threading.Thread(target=_accept, args=[listening, script], daemon=True)
        accepting.start()
        try:
            yield script
        finally:
            script.stopping.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listening: socket.socket, script: Script) -> None:
    serving = []
    while not script.stopping.is_set():
        try:
            connection, _ = listening.accept()
        except OSError:
            break
        serving.append(threading.Thread(target=_converse, args=[connection, script], daemon=True))
        serving[-1].start()
    for thread in serving:
        thread.join()


def _converse(connection: socket.socket, script: Script) -> None:
    with connection, contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        connection.settimeout(10)
        script.connected.add(connection)
        stack.callback(script.connected.discard, connection)
        lines = stack.enter_context(connection.makefile("r", encoding="utf-8", newline="\r\n"))
        folder, rest, passive = "/", 0, None

        def say(text: str) -> None:
            connection.sendall(f"{text}\r\n".encode())

        say("220 ready")
        for line in lines:
            script.asked.append(line.strip())
            command, _, argument = line.strip().partition(" ")
            if command in script.replies:
                say(script.replies[command])
            elif command in ("PASV", "EPSV"):
                passive = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                passive.settimeout(10)
                port = passive.getsockname()[1]
                # a host of its own choice, which must not be believed
                pasv = f"227 Passive (192,0,2,1,{port // 256},{port % 256})"
                say(pasv if command == "PASV" else f"229 Passive (|||{port}|)")
            elif command == "CWD":
                folder = argument
                say("250 there" if folder in script.listings else "550 not there")
            elif command == "REST":
                rest = 0 if script.ignores_rest else int(argument)
                say("350 from there")
            elif command in ("LIST", "RETR"):
                assert passive is not None
                say("150 it comes")
                data = script.listings[folder] if command == "LIST" else script.files[argument][rest:]
                _send(passive, data, script, drip=command == "LIST" and script.drip)
                rest = 0
                say(script.ends_with)
            elif command == "SIZE":
                found = script.files.get(argument)
                say("550 not there" if found is None else f"213 {len(found)}")
            else:
                say({"USER": "331 and?", "PWD": '257 "/"', "PASS": "230 in"}.get(command, "200 well"))


def _send(passive: socket.socket, data: bytes, script: Script, *, drip: bool) -> None:
    connection, _ = passive.accept()
    with connection:
        connection.sendall(data)
        while drip and not script.stopping.wait(0.02):
            connection.sendall(b"x")
