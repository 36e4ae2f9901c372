"""`mt` commands as forks of one process that has already imported all modules.

`python forked.py SOCKET` imports the modules of all verbs and computes nothing, so it has no threads that a fork would
lose. A client sends one JSON line (the arguments, the folder and the environment of a command) and three open files:
stdin, stdout and stderr. It reads two lines: the process id at once, and at the end the exit code, negative for a
signal. The command is a process of its own, with its own memory, files, signals and exit code. These commands do not
test imports; tests that start a new process do.
"""

import contextlib
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
import weakref
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "torch.utils.tensorboard", "sacrebleu", "mt.build", "mt.train.run", "mt.cli.hydra_job",
    # What is imported when first used, by scores, sentences, TensorBoard.
    "mt.text.rates", "sacrebleu.tokenizers.tokenizer_13a", "sentencex", "PIL.ImageDraw", "PIL.PngImagePlugin",
)  # fmt: skip
KNOWS_FORKS = "jemalloc_bg_thd"  # the thread of Arrow's allocator, which handles forks itself
LONGEST = 1 << 20  # bytes of a request


class Command:
    """A forked command, with what `subprocess.Popen` has: pid, poll, wait and send_signal."""

    def __init__(
        self, address: str, argv: list[str], folder: Path, environment: Mapping[str, str], files: Sequence[IO[bytes]]
    ) -> None:
        self.argv, self.returncode = argv, None
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(address)
        request = {"argv": argv, "folder": str(folder), "environment": dict(environment)}
        socket.send_fds(self.connection, [json.dumps(request).encode()], [file.fileno() for file in files])
        self.lines = self.connection.makefile("rb", 0)  # not a line ahead, so that `select` knows of the next one
        self.pid = int(self.lines.readline())

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit code. Raises: TimeoutExpired: when the command still runs."""
        if self.returncode is None:
            if not select.select([self.connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.argv, timeout)
            self.returncode = int(self.lines.readline())
            self.lines.close()
            self.connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def run_forked(
    address: str, argv: list[str], folder: Path, environment: Mapping[str, str], stdin: bytes, timeout: float = 900
) -> subprocess.CompletedProcess[bytes]:
    """Like `subprocess.run` of `python -m mt ARGV`. Raises: TimeoutExpired: after killing the command."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        command = Command(address, argv, folder, environment, (given, out, err))
        try:
            code = command.wait(timeout)
        except subprocess.TimeoutExpired:
            command.send_signal(signal.SIGKILL)
            command.wait(timeout)
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, code, out.read(), err.read())


def serve(address: str) -> None:
    """Answer requests until stdin is closed, which happens when the parent process ends."""
    from mt.cli.main import VERBS

    for name in (*LIBRARIES, *(module for module, _ in VERBS.values())):
        import_module(name)
    import_module("mt.cli.compose").compose(["data.train=[a,b]"])  # so that Hydra knows the schema and its grammar
    threads = {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    lost = threads - {Path("/proc/self/comm").read_text().strip(), KNOWS_FORKS}
    assert not lost, f"an import has started threads, which a fork would lose: {lost}"
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # Python 3.12 on
    for made in list(weakref.finalize._registry):  # pyright: ignore[reportAttributeAccessIssue]
        made.atexit = False  # torch's, of each operation that an import defines
    os.fsync = os.fstat  # no test cuts the power
    gc.freeze()  # so that garbage collection in a child does not copy shared memory pages
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    print("ready", flush=True)
    running = dict[int, tuple[int, socket.socket]]()  # by a handle of the process: its id, and who waits for it
    while sys.stdin not in (ready := select.select([listening, sys.stdin, *running], [], [])[0]):
        if listening in ready:
            connection, _ = listening.accept()
            pid = start(connection, [listening, *(waiting for _, waiting in running.values())])
            running[os.pidfd_open(pid)] = pid, connection
        for handle in running.keys() & set(ready):
            pid, connection = running.pop(handle)
            os.close(handle)
            tell(connection, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            connection.close()


def start(connection: socket.socket, others: Iterable[socket.socket]) -> int:
    """Fork the command that a client asks for. Args: others: what it is not to hold open. Returns: its process id."""
    message, files, _, _ = socket.recv_fds(connection, LONGEST, 3)
    pid = os.fork()
    if pid == 0:
        for one in (connection, *others):
            one.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        from mt.cli.main import end_process

        try:
            become(**json.loads(message))
        except SystemExit as leaving:
            if isinstance(leaving.code, int):
                end_process(leaving.code)  # to free objects writes to all memory that is shared with the parent
            raise
    for file in files:
        os.close(file)
    tell(connection, pid)
    return pid


def tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(ConnectionError):  # a client may give up
        connection.sendall(f"{number}\n".encode())


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
