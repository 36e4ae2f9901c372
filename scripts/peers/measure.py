"""One run of one toolkit: its process, the times of its log lines, its memory.

Every toolkit is timed in the same way: the lines of its log get a time as they arrive, and the rate is the tokens
between the first line after the warm-up and the last, over the seconds between them.
"""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from peers import recipe
from peers.install import PeerError, last_line
from peers.job import Job, Logged, Peer

POLL_S = 0.25  # between two measurements of memory


@dataclass(frozen=True)
class Stamped:
    seconds: float  # since the start of the process
    logged: Logged


@dataclass(frozen=True)
class Measured:
    """The result of a run. Rates are target tokens a second, without padding, end marks counted."""

    rate: float
    windows: list[float]  # the rate between every two lines
    tokens_per_update: float
    loss: float | None  # with label smoothing, over the last ten updates
    nll: float | None  # without, where it is known
    peak_gib: float
    start_s: float  # until the warm-up was over
    seconds: float  # of the whole process


def summarise(log: list[Stamped], *, peak_gib: float, seconds: float) -> Measured:
    """Raises: PeerError: when there are not two lines after the warm-up."""
    steady = [stamped for stamped in log if stamped.logged.update >= recipe.WARM_UP]
    if len(steady) < 2:
        raise PeerError(f"only {len(steady)} lines of the log report {recipe.WARM_UP} updates or more; two are needed")
    spans = [b.seconds - a.seconds for a, b in pairwise(steady)]
    tokens = [stamped.logged.tgt_tokens for stamped in steady[1:]]
    updates = steady[-1].logged.update - steady[0].logged.update
    return Measured(
        rate=sum(tokens) / sum(spans),
        windows=[t / s for t, s in zip(tokens, spans, strict=True)],
        tokens_per_update=sum(tokens) / updates,
        loss=mean_of("loss", steady[-2:]),
        nll=mean_of("nll", steady[-2:]),
        peak_gib=peak_gib,
        start_s=steady[0].seconds,
        seconds=seconds,
    )


def mean_of(name: str, log: list[Stamped]) -> float | None:
    """The mean weighted by tokens; None where a line has no value."""
    values = [(getattr(stamped.logged, name), stamped.logged.tgt_tokens) for stamped in log]
    if any(value is None for value, _ in values):
        return None
    return sum(value * tokens for value, tokens in values) / sum(tokens for _, tokens in values)


def environment(peer: Peer, job: Job) -> dict[str, str]:
    threads = {name: str(job.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_PRELOAD")}
    return {**kept, **threads, "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1", **peer.environment}


def run(peer: Peer, job: Job) -> Measured:
    """Train `job.updates` updates and measure. Raises: PeerError."""
    log = job.rundir / "log.txt"
    if peer.before is not None and (command := peer.before(job)):
        child = start(peer, job, command)
        if (code := follow(child, peer, log, [])[0]) != 0:
            raise PeerError(f"`{Path(command[0]).name}` ended with {code}: {last_line(log.read_text())} (see {log})")
    child = start(peer, job, peer.command(job))
    stamped: list[Stamped] = []
    started = time.perf_counter()
    code, peak = follow(child, peer, log, stamped)
    seconds = time.perf_counter() - started
    if code != 0:
        raise PeerError(f"ended with {code}: {last_line(log.read_text(errors='replace'))} (see {log})")
    if not stamped or stamped[-1].logged.update < job.updates:
        done = stamped[-1].logged.update if stamped else 0
        raise PeerError(f"the log reports {done} updates, not {job.updates} (see {log})")
    return summarise(stamped, peak_gib=peak / 2**30, seconds=seconds)


def start(peer: Peer, job: Job, command: list[str]) -> subprocess.Popen[bytes]:
    """Starts the command in a session of its own, so that it can be ended with all its children."""
    return subprocess.Popen(
        command,
        cwd=job.folder,
        env=environment(peer, job),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def follow(child: subprocess.Popen[bytes], peer: Peer, log: Path, stamped: list[Stamped]) -> tuple[int, int]:
    """Read until the end; the exit code, and the peak of memory in bytes. No process is left running."""
    started, peak, ended = time.perf_counter(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            peak[0] = max(peak[0], tree_bytes(child.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        assert child.stdout is not None
        with log.open("ab") as file:
            for line in child.stdout:
                now = time.perf_counter() - started
                file.write(line)
                file.flush()
                if logged := peer.parse(line.decode("utf-8", "replace")):
                    stamped.append(Stamped(now, logged))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        unit = 1 if os.uname().sysname == "Darwin" else 1024
        return child.returncode, max(peak[0], usage.ru_maxrss * unit)
    finally:
        ended.set()
        watcher.join()
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.returncode is None:
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def tree_bytes(pid: int) -> int:
    """Resident memory of a process and all below it, in bytes; 0 where there is no /proc."""
    page, total, waiting = os.sysconf("SC_PAGE_SIZE"), 0, [pid]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}")
        try:
            total += int((folder / "statm").read_text().split()[1]) * page
            for task in (folder / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, IndexError, ValueError):  # the process has ended, or this system has no /proc
            continue
    return total
