"""How fast `mt serve` answers, for some numbers of clients, beside the engine called directly; every answer is checked.

    python scripts/bench_serving.py MODEL --input test.en --systems torch:bf16 torch:fp32 ct2:float32 --clients 1 8 32

A system is an engine and its precision, or its quantization. Systems take turns, `--rounds` times, so that a busy hour
meets all of them; numbers are medians of the rounds.

Each client sends its sentences one by one over a connection that it keeps, and waits for each answer; the clients take
turns with the lines of the file. "one call" translates the same lines with `Translator.translate` all at once, sorted
by length; "calls of N" does it with N lines a call, in the order of the file, for the largest number of clients: what
the engine can do for so many clients who each wait for one line. Besides requests a second and the latency of the
middle request and of the slowest of a hundred, a row has the processor time of a request, of all threads of the server
(not of the clients), which other programs on the machine change less than the rate; "of direct" compares with "one
call". An answer that differs is compared with those that the engine gives for the same line in other batches ("calls of
N", "calls of 8"): "other batch" equals one of these, "wrong" none. Rows are on stderr as they come.

`--unbatched` measures a second server, whose batches hold one sentence. `--memory` sends that many requests more, from
32 clients, and prints the resident memory of the server as it goes. `--soak` sends for that many seconds from
`--soak-clients` clients, and prints how many answers were wrong or lost. The clients run on the same machine.
"""

import argparse
import asyncio
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from mistakes import run_script

HEAD = ("", "requests/s", "of direct", "processor ms", "of direct", "a batch", "median", "99 %", "other batch", "wrong")
CHILD = """
import json, sys, time, mt
from pathlib import Path
from mt.checkpoint.model_folder import languages
from mt.compute.device import set_up_cpu
model, lines, settings, size = json.load(sys.stdin)
set_up_cpu(None)
translator = mt.load(model, **settings)

def timed(size):
    said, wall, cpu = [], time.perf_counter(), time.process_time()
    for start in range(0, len(lines), size):
        said += translator.translate(lines[start : start + size])
    return said, time.perf_counter() - wall, time.process_time() - cpu

with translator.prepared():
    translator.translate(lines[:64])
    calls = [timed(len(lines)), timed(size), timed(8)]
print(json.dumps([calls, *languages(Path(model))]))
"""


@dataclass
class Direct:
    """What the engine says, and how fast it is."""

    expected: dict[str, str]
    others: dict[str, set[str]]  # with other batches
    rates: dict[str, tuple[float, float]]  # seconds and processor seconds of a line, by row
    src: str
    tgt: str


@dataclass
class Load:
    """What came of some requests."""

    seconds: float
    times: list[float]
    different: int  # from the direct answer, but equal to that of another batch
    wrong: int


@dataclass
class Rows:
    """The numbers of each row in each round."""

    found: dict[str, list[list[float]]]

    def add(self, name: str, numbers: list[float]) -> None:
        self.found[name].append(numbers)
        print(row(name, numbers), file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--systems", nargs="+", default=["torch:auto"], metavar="ENGINE:PRECISION")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--unbatched", action="store_true")
    parser.add_argument("--memory", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--soak-clients", type=int, default=200)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="for mt serve; the last argument")
    args = parser.parse_args()
    lines = [line.strip() for line in args.input.read_text(encoding="utf-8").split("\n") if line.strip()][: args.lines]
    lines = list(dict.fromkeys(lines))
    rows = Rows(defaultdict(list))
    faults = 0
    for _ in range(args.rounds):
        for system in args.systems:
            faults += one_round(system, lines, args, rows)
    print(f"{len(lines):,} lines, {args.rounds} rounds; load average {os.getloadavg()[0]:.0f}\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name, numbers in rows.found.items():
        print(row(name, [statistics.median(column) for column in zip(*numbers, strict=True)]))
    return int(faults > 0)


def row(name: str, numbers: list[float]) -> str:
    rate, share, cpu, cpu_share, *rest = numbers
    cells = [name, f"{rate:.1f}", f"{share:.0%}", f"{1000 * cpu:.2f}", f"{cpu_share:.0%}"]
    if rest:
        parts, middle, slow, different, wrong = rest
        cells += [
            f"{parts:.1f}",
            f"{1000 * middle:.0f} ms",
            f"{1000 * slow:.0f} ms",
            f"{different:.0f}",
            f"{wrong:.0f}",
        ]
    return f"| {' | '.join(cells + [''] * (len(HEAD) - len(cells)))} |"


def one_round(system: str, lines: list[str], args: argparse.Namespace, rows: Rows) -> int:
    """Adds numbers to the rows of a system. Returns: the number of wrong and lost answers."""
    engine, _, precision = system.partition(":")
    torch = engine == "torch"
    settings = {"precision": precision or "auto"} if torch else {"engine": engine, "quantization": precision}
    told = direct(args.model, lines, settings, max(args.clients))
    (seconds, cpu), *_ = told.rates.values()
    for name, (wall, used) in told.rates.items():
        rows.add(f"{system}, {name}", [1 / wall, seconds / wall, used, cpu / used])
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    kinds = [("", []), *([("one by one, ", ["--batch-tokens", "1", "--batch-wait", "0"])] if args.unbatched else [])]
    faults = 0
    for kind, more in kinds:
        with server(args.model, [*options, *more, *args.options]) as (url, process):
            ask = {"url": url, "source": told.src, "target": told.tgt}
            load(lines[:64], told, 8, **ask)  # what is made at the first requests
            for clients in args.clients:
                before, counts = processor_time(process.pid), counted(url)
                found = load(lines, told, clients, **ask)
                used = (processor_time(process.pid) - before) / len(lines)
                batches, parts = (new - old for new, old in zip(counted(url), counts, strict=True))
                times = sorted(found.times)
                wall = found.seconds / len(lines)
                rows.add(
                    f"{system}, {kind}{clients} clients",
                    [1 / wall, seconds / wall, used, cpu / used, parts / max(1, batches), statistics.median(times),
                     times[int(0.99 * len(times))], found.different, found.wrong],
                )  # fmt: skip
                faults += found.wrong
            if args.memory and not kind:
                faults += memory(lines, told, args.memory, process.pid, **ask)
            if args.soak and not kind:
                faults += soak(lines, told, args.soak_clients, args.soak, process.pid, **ask)
    return faults


def memory(lines: list[str], told: Direct, count: int, pid: int, **ask: str) -> int:
    """Prints the memory before and after some requests. Returns: the number of wrong and lost answers."""
    many = (lines * (count // len(lines) + 1))[:count]
    sizes, faults, answers, step = [resident(pid)], 0, 0, -(-count // 5)
    for start in range(0, count, step):
        found = load(many[start : start + step], told, 32, **ask)
        faults, answers = faults + found.wrong, answers + len(found.times)
        sizes.append(resident(pid))
    print(
        f"{count:,} requests of 32 clients: {answers:,} answers, {faults} wrong; MiB of the server before and after "
        f"each fifth: {', '.join(map(str, sizes))}\n",
        flush=True,
    )
    return faults + count - answers


def soak(lines: list[str], told: Direct, clients: int, seconds: float, pid: int, **ask: str) -> int:
    """Prints what came of requests for some seconds. Returns: the number of wrong and lost answers."""
    before, at_half, answered, different, wrong, lost = resident(pid), list[int](), 0, 0, 0, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        some = (lines * (8 * clients // len(lines) + 1))[: 8 * clients]
        try:
            found = load(some, told, clients, **ask)
        except (OSError, EOFError) as error:
            print(f"a client lost its connection: {error}\n")
            return 1
        answered, lost = answered + len(found.times), lost + len(some) - len(found.times)
        different, wrong = different + found.different, wrong + found.wrong
        if time.perf_counter() - began > seconds / 2:
            at_half.append(resident(pid))
    print(
        f"{clients} clients, {time.perf_counter() - began:.0f} s: {answered:,} answers, {different} of another batch, "
        f"{wrong} wrong, {lost} lost; {before} MiB before, {at_half[0]} MiB in the middle, {resident(pid)} MiB after\n",
        flush=True,
    )
    return wrong + lost


def direct(model: str, lines: list[str], settings: dict[str, str], size: int) -> Direct:
    """In a process of its own, that has the memory alone. Args: size: lines of a call."""
    task = json.dumps([model, lines, settings, size])
    done = subprocess.run([sys.executable, "-c", CHILD], input=task, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    calls, src, tgt = json.loads(done.stdout)
    names = ("one call", f"calls of {size}", "calls of 8")
    rates = {name: (wall / len(lines), cpu / len(lines)) for name, (_, wall, cpu) in zip(names, calls, strict=True)}
    (first, _, _), *more = calls
    others = {line: {said[n] for said, _, _ in more} for n, line in enumerate(lines)}
    return Direct(dict(zip(lines, first, strict=True)), others, rates, src, tgt)


@contextmanager
def server(model: str, options: list[str]):
    """A server's address and its process; it ends by SIGTERM, with exit code 0."""
    command = [sys.executable, "-m", "mt", "serve", model, "--port", "0", "--metrics", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, "the server did not end gently"


def load(lines: list[str], told: Direct, clients: int, *, url: str, source: str, target: str) -> Load:
    """The lines as requests of some clients. Raises: OSError, EOFError: when a connection ends."""
    requests = [request_of(line, source, target) for line in lines]  # before the clock starts
    began = time.perf_counter()
    answered = asyncio.run(exchange(requests, clients, urlsplit(url)))
    seconds = time.perf_counter() - began
    times, wrong, different = list[float](), 0, 0
    for line, (body, waited) in zip(lines, answered, strict=True):
        times.append(waited)
        said = json.loads(body).get("translatedText")
        if said != told.expected[line]:
            if said in told.others[line]:
                different += 1
            else:
                wrong += 1
    return Load(seconds, times, different, wrong)


def request_of(line: str, source: str, target: str) -> bytes:
    body = json.dumps({"q": line, "source": source, "target": target}).encode()
    head = (
        f"POST /translate HTTP/1.1\r\nHost: mt\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def exchange(requests: list[bytes], clients: int, address: SplitResult) -> list[tuple[bytes, float]]:
    """The body of each answer and the seconds that it took."""
    found: dict[int, tuple[bytes, float]] = {}
    numbers = iter(range(len(requests)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for number in numbers:  # shared: each client takes the next one
            began = time.perf_counter()
            writer.write(requests[number])
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split()[0])
            found[number] = await reader.readexactly(size), time.perf_counter() - began
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(clients)))
    return [found[number] for number in range(len(requests))]


def counted(url: str) -> tuple[int, int]:
    """Batches and parts of a server so far."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return int(values["mt_batches_total"]), int(values["mt_parts_total"])


def processor_time(pid: int) -> float:
    """Seconds of all threads of a process on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """MiB of a process on Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


if __name__ == "__main__":
    run_script(main)
