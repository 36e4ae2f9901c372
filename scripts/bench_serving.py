"""How fast `mt serve` answers, for some numbers of clients, beside the engine called directly; every answer is checked.

    python scripts/bench_serving.py MODEL --input test.en --clients 1 8 32

Each client sends its sentences one by one over a connection that it keeps, and waits for each answer; the clients take
turns with the lines of the file. "direct" translates the same lines with `Translator.translate`, all in one call. A row
of the table has requests a second, that rate as a share of the direct one, and the latency of the middle request and of
the slowest of a hundred. `--unbatched` measures a second server whose batches hold one sentence. `--memory` sends that
many requests more, and prints the resident memory of the server before and after. `--soak` sends for that many seconds
from `--soak-clients` clients, and prints besides how many answers were wrong or lost. `--engine` and `--quantization`
are those of `mt serve`, and of the direct call. The clients run on the same machine.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--unbatched", action="store_true")
    parser.add_argument("--memory", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--soak-clients", type=int, default=200)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--quantization", default="float32")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="for mt serve; the last argument")
    args = parser.parse_args()
    lines = [line.strip() for line in args.input.read_text(encoding="utf-8").split("\n") if line.strip()][: args.lines]
    settings = {"precision": args.precision, "engine": args.engine, "quantization": args.quantization}
    expected, seconds, src, tgt = direct(args.model, lines, settings)
    rate = len(lines) / seconds
    print("| | requests/s | of direct | median | 99 % | wrong |\n|---|---|---|---|---|---|")
    print(f"| direct, one call | {rate:.1f} | | | | |", flush=True)
    kinds = [("batched", [])] + (
        [("one by one", ["--batch-tokens", "1", "--batch-wait", "0"])] if args.unbatched else []
    )
    wrong = 0
    for name, options in kinds:
        if args.engine != "torch":
            options = ["--engine", args.engine, "--quantization", args.quantization, *options]
        with server(args.model, args.precision, [*options, *args.options]) as (url, process):
            ask = {"url": url, "source": src, "target": tgt}
            load(lines[:64], expected, 8, **ask)  # what is made at the first requests
            for clients in args.clients:
                took, times, faults = load(lines, expected, clients, **ask)
                wrong += faults
                times.sort()
                per_second, middle = len(lines) / took, statistics.median(times)
                slow = times[int(0.99 * len(times))]
                print(
                    f"| {name}, {clients} clients | {per_second:.1f} | {per_second / rate:.0%} | "
                    f"{middle * 1000:.0f} ms | {slow * 1000:.0f} ms | {faults} |",
                    flush=True,
                )
            if args.memory and name == "batched":
                before = resident(process.pid)
                many = (lines * (args.memory // len(lines) + 1))[: args.memory]
                _, _, faults = load(many, expected, 32, **ask)
                wrong += faults
                print(
                    f"\n{len(many):,} requests of 32 clients: {faults} wrong, {before} MiB before, "
                    f"{resident(process.pid)} MiB after"
                )
            if args.soak and name == "batched":
                wrong += soak(lines, expected, args.soak_clients, args.soak, process.pid, **ask)
    return int(wrong > 0)


def soak(lines: list[str], expected: dict[str, str], clients: int, seconds: float, pid: int, **ask: str) -> int:
    """Prints what came of requests for some seconds. Returns: the number of wrong and lost answers."""
    before, at_half, answered, wrong, lost = resident(pid), list[int](), 0, 0, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        some = (lines * (8 * clients // len(lines) + 1))[: 8 * clients]
        try:
            _, times, faults = load(some, expected, clients, **ask)
        except OSError as error:
            print(f"\na client lost its connection: {error}")
            return 1
        answered, wrong, lost = answered + len(times), wrong + faults, lost + len(some) - len(times)
        if time.perf_counter() - began > seconds / 2:
            at_half.append(resident(pid))
    print(
        f"\n{clients} clients, {time.perf_counter() - began:.0f} s: {answered:,} answers, {wrong} wrong, {lost} lost, "
        f"{before} MiB before, {at_half[0]} MiB in the middle, {resident(pid)} MiB after"
    )
    return wrong + lost


def direct(model: str, lines: list[str], settings: dict[str, str]) -> tuple[dict[str, str], float, str, str]:
    """The translations, how long they took, and the languages; in a process of its own, that has the memory alone."""
    code = (
        "import json, sys, time, mt\n"
        "from pathlib import Path\n"
        "from mt.checkpoint.model_folder import languages\n"
        "from mt.compute.device import set_up_cpu\n"
        "model, lines, settings = json.load(sys.stdin)\n"
        "set_up_cpu(None)\n"
        "translator = mt.load(model, **settings)\n"
        "translator.translate(lines[:64])\n"
        "began = time.perf_counter()\n"
        "said = translator.translate(lines)\n"
        "print(json.dumps([said, time.perf_counter() - began, *languages(Path(model))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([model, lines, settings]),
        capture_output=True,
        text=True,
        check=True,
    )
    said, seconds, src, tgt = json.loads(done.stdout)
    return dict(zip(lines, said, strict=True)), seconds, src, tgt


@contextmanager
def server(model: str, precision: str, options: list[str]):
    """A server's address and its process; it ends by SIGTERM, with exit code 0."""
    command = [sys.executable, "-m", "mt", "serve", model, "--port", "0", "--precision", precision, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, "the server did not end gently"


def load(
    lines: list[str], expected: dict[str, str], clients: int, *, url: str, source: str, target: str
) -> tuple[float, list[float], int]:
    """Returns: seconds for all, seconds of each request, and the number of answers that are not the direct one."""
    waiting, times, wrong = lines[::-1], list[float](), list[str]()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
        while waiting:
            try:
                line = waiting.pop()
            except IndexError:  # another client was faster
                break
            began = time.perf_counter()
            fields = json.dumps({"q": line, "source": source, "target": target})
            connection.request("POST", "/translate", fields, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            times.append(time.perf_counter() - began)
            if answer.get("translatedText") != expected[line]:
                wrong.append(line)
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return time.perf_counter() - began, times, len(wrong)


def resident(pid: int) -> int:
    """MiB of a process on Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


if __name__ == "__main__":
    sys.exit(main())
