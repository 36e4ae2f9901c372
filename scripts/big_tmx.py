"""Does reading a translation memory take memory that grows with the file?

    python scripts/big_tmx.py [--megabytes 10 100 300]

Writes memories (TMX 1.4) of these sizes into a temporary folder, and reads each in a process of its own, as every
command does. Prints the pairs, the seconds, and the most memory that the process took.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from mistakes import run_script

UNIT = (
    '<tu tuid="{n}" creationdate="20260101T000000Z"><prop type="project">lager</prop>'
    '<tuv xml:lang="de-DE"><seg>Regal {n} steht in <bpt i="1">&lt;b&gt;</bpt>Halle {hall}<ept i="1">&lt;/b&gt;</ept> '
    "und trägt {load} kg.</seg></tuv>"
    '<tuv xml:lang="en-GB"><seg>Shelf {n} is in <bpt i="1">&lt;b&gt;</bpt>hall {hall}<ept i="1">&lt;/b&gt;</ept> '
    "and carries {load} kg.</seg></tuv></tu>\n"
)
READ = """
import resource, sys, time
from mt.data.corpus.readers import read_pairs
started, pairs = time.perf_counter(), 0
for pair in read_pairs([sys.argv[1]], "de", "en"):
    pairs += 1
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{pairs:>9,} {time.perf_counter() - started:>7.1f} {used:>9.0f}   {pair.src} -> {pair.tgt}")
"""


def write_memory(path: Path, megabytes: float) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n')
        file.write('<header srclang="de-DE" datatype="html" segtype="sentence" adminlang="en"/>\n<body>\n')
        number = 0
        while file.tell() < megabytes * 1_000_000:
            for _ in range(1000):
                number += 1
                file.write(UNIT.format(n=number, hall=number % 90, load=7 * number % 1000))
        file.write("</body>\n</tmx>\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 100, 300])
    args = parser.parse_args()
    print("       MB     pairs seconds peak MiB   last pair")
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in args.megabytes:
            path = Path(folder) / "memory.tmx"
            write_memory(path, megabytes)
            found = subprocess.run([sys.executable, "-c", READ, str(path)], check=True, capture_output=True, text=True)
            print(f"{path.stat().st_size / 1e6:>9.1f} {found.stdout}", end="", flush=True)


if __name__ == "__main__":
    run_script(main)
