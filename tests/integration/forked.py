"""`mt` commands as processes that import nothing, for they are forked from one that has imported everything.

`python forked.py SOCKET` imports what the verbs need and computes nothing, so it has no threads that a fork would lose.
A client sends one JSON line (the arguments, the folder and the environment of a command) and, along with it, three open
files: stdin, stdout and stderr. It reads two lines: the process id at once, and at the end the exit code, negative for
a signal. The command is a process like any other, with memory, files, signals and an end of its own. It proves nothing
about imports: those of a verb are a matter of the tests that start a process of their own.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch.utils.tensorboard", "sacrebleu", "mt.build", "mt.train.run", "mt.cli.hydra_job")
KNOWS_FORKS = "jemalloc_bg_thd"  # the thread of Arrow's allocator, which looks after itself in a fork
LONGEST = 1 << 20  # bytes of a request


def run_forked(
    address: str, argv: list[str], folder: Path, environment: Mapping[str, str], stdin: bytes, timeout: float = 900
) -> subprocess.CompletedProcess[bytes]:
    """What `subprocess.run` gives for `python -m mt ARGV`. Raises: TimeoutExpired: after killing the command."""
    with (
        tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err,
        socket.socket(socket.AF_UNIX) as connection,
    ):  # fmt: skip
        given.write(stdin)
        given.seek(0)
        connection.settimeout(timeout)
        connection.connect(address)
        asked = {"argv": argv, "folder": str(folder), "environment": dict(environment)}
        socket.send_fds(connection, [json.dumps(asked).encode()], [file.fileno() for file in (given, out, err)])
        lines = connection.makefile("r")
        pid = int(lines.readline())
        try:
            code = int(lines.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(argv, timeout) from None
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, code, out.read(), err.read())


def serve(address: str) -> None:
    """Answer requests until whoever started this process is gone, and with it the other end of stdin."""
    from mt.cli.main import VERBS

    for name in (*LIBRARIES, *(module for module, _ in VERBS.values())):
        import_module(name)
    threads = {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    lost = threads - {Path("/proc/self/comm").read_text().strip(), KNOWS_FORKS}
    assert not lost, f"an import has started threads, which a fork would lose: {lost}"
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # Python 3.12 on
    gc.freeze()  # so that a collection in a child does not write to, and so copy, what all share
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    print("ready", flush=True)
    waiting = set[int]()  # those that wait for a command
    while True:
        if sys.stdin in select.select([listening, sys.stdin], [], [])[0]:
            return
        connection, _ = listening.accept()
        waiting = {pid for pid in waiting if os.waitpid(pid, os.WNOHANG)[0] == 0}
        if (pid := os.fork()) == 0:
            listening.close()
            answer(connection)
        waiting.add(pid)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Fork once more: the child becomes the command, and this process tells how it ends."""
    message, files, _, _ = socket.recv_fds(connection, LONGEST, 3)
    asked = json.loads(message)
    child = os.fork()
    if child == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        become(**asked)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(argv: list[str], folder: str, environment: dict[str, str]) -> None:
    """What `python -m mt ARGV` does once it has imported; never returns."""
    from mt.cli.main import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(ROOT / "mt/__main__.py"), *argv]
    raise SystemExit(main())


if __name__ == "__main__":
    serve(sys.argv[1])
