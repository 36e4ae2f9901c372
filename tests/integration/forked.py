"""`mt` commands as forks of one process that has already imported all modules.

`python forked.py SOCKET` imports the modules of all verbs and computes nothing, so it has no threads that a fork would
lose. A client sends one JSON line (the arguments, the folder and the environment of a command) and three open files:
stdin, stdout and stderr. It reads two lines: the process id at once, and at the end the exit code, negative for a
signal. The command is a process of its own, with its own memory, files, signals and exit code. These commands do not
test imports; tests that start a new process do.
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
LIBRARIES = (
    "torch.utils.tensorboard", "sacrebleu", "mt.build", "mt.train.run", "mt.cli.hydra_job",
    # What the optimizer of torch and the arrays of pyarrow import when they are first used.
    "torch._dynamo", "torch.distributed.fsdp", "pandas",
)  # fmt: skip
KNOWS_FORKS = "jemalloc_bg_thd"  # the thread of Arrow's allocator, which handles forks itself
LONGEST = 1 << 20  # bytes of a request


def run_forked(
    address: str, argv: list[str], folder: Path, environment: Mapping[str, str], stdin: bytes, timeout: float = 900
) -> subprocess.CompletedProcess[bytes]:
    """Like `subprocess.run` of `python -m mt ARGV`. Raises: TimeoutExpired: after killing the command."""
    with (
        tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err,
        socket.socket(socket.AF_UNIX) as connection,
    ):  # fmt: skip
        given.write(stdin)
        given.seek(0)
        connection.settimeout(timeout)
        connection.connect(address)
        request = {"argv": argv, "folder": str(folder), "environment": dict(environment)}
        socket.send_fds(connection, [json.dumps(request).encode()], [file.fileno() for file in (given, out, err)])
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
    """Answer requests until stdin is closed, which happens when the parent process ends."""
    from mt.cli.main import VERBS

    for name in (*LIBRARIES, *(module for module, _ in VERBS.values())):
        import_module(name)
    threads = {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    lost = threads - {Path("/proc/self/comm").read_text().strip(), KNOWS_FORKS}
    assert not lost, f"an import has started threads, which a fork would lose: {lost}"
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # Python 3.12 on
    gc.freeze()  # so that garbage collection in a child does not copy shared memory pages
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    print("ready", flush=True)
    waiting = set[int]()  # children that wait for a command
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
    """Fork once more: the child becomes the command, and this process reports its exit code."""
    message, files, _, _ = socket.recv_fds(connection, LONGEST, 3)
    request = json.loads(message)
    child = os.fork()
    if child == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        become(**request)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(argv: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run as `python -m mt ARGV` does after its imports; never returns."""
    from mt.cli.main import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(ROOT / "mt/__main__.py"), *argv]
    raise SystemExit(main())


if __name__ == "__main__":
    serve(sys.argv[1])
