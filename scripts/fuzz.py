"""Feed damaged and hostile files to everything that reads files; the only result may be an error of one sentence.

    python scripts/fuzz.py --minutes 10
    python scripts/fuzz.py --only model --seed 7 --cases 1       repeats the case of a finding

Targets: `corpus` (plain and compressed text, TSV, JSON lines, zip archives), `model` (manifest, config, weights,
tokenizer; hashes are made to match, as an attacker would), `config` (a YAML file and overrides of `mt train`). Each
case is a good file changed at random, or random grammar; its number is its seed, so a case can be repeated. Cases run
in a child process that may use 1 GiB more than at its start, and ten seconds of CPU time a case. A finding is an
exception that is not an `MtError`, an error of several lines, a crash, a hang, or a canary file that executed code has
made. Exits with 1 if there is a finding.
"""

import argparse
import bz2
import faulthandler
import gzip
import io
import json
import lzma
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mistakes import run_script

from mt.checkpoint import write_folder
from mt.checkpoint.model_folder import Description, read_model
from mt.cli.compose import compose
from mt.config import DecodeConfig, ModelConfig, Precision, TokenizerConfig
from mt.data.corpus.readers import read_pairs
from mt.errors import MtError, readable
from mt.nn.encoders import text_model
from mt.text.archive import read_member
from mt.text.tokenizer_training import train_tokenizer

SECONDS, MEMORY = 10, 1 << 30
CANARY = "canary"
INTERESTING = [b"", b"\0", b"\n", b"\r\n", b"\t", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
               b"{", b"}", b"[" * 5000, b"9" * 5000, b"-1", b"1e999", b"NaN", b"null", b'"', b"\\ud800", b"../", b"%s",
               "\u2028".encode(), b"\x1b[2J", b"A" * 70000, (2**63).to_bytes(8, "little"), b"\x80\x04."]  # fmt: skip
VALUES = [None, True, -1, 0, 1, 7, 2**31, 2**63, 10**30, -0.5, 1e308, float("nan"), float("inf"), "", "x", "auto",
          "a\nb", "${oc.env:HOME}", "${oc.decode:x}", "\ud800", [], [1], ["a"], {}, {"_target_": "x.y"}]  # fmt: skip
YAML = [
    "!!python/object/apply:os.mkdir ['{canary}']", "!!python/object/new:os.mkdir ['{canary}']",
    "!!python/name:os.system ''", "_target_: os.mkdir\n_args_: ['{canary}']", "${{oc.env:HOME}}", "${{train.steps}}",
    "&a [*a]", "&a {{b: *a}}", "*missing", "<<: *x", "? [a]\n: b", "1_000", "0o777", "2001-01-01", "~", "!!binary aGk=",
    "model: {{dim: 64}}", "model: base", "model: [1]", "train: {{steps: 5}}", "train.steps: 5", "defaults: [x]",
    "hydra: {{run: {{dir: '{canary}'}}}}", "data: {{train: [a, b]}}", "[", "]", "{{", "'", "- ", "\t",
    "%YAML 9.9", "---",
]  # fmt: skip
OVERRIDES = ["train.steps=5", "model=base", "model.dim=64", "+a=1", "~model", "++x.y=2", "train.steps=${oc.env:HOME}",
             "data.train=[a,b]", "hydra.run.dir={canary}", "model._target_=os.mkdir", "a=b=c", "='", "train={steps:1}",
             "train.steps=choice(1,2)", "model.dim=range(1,9)", "run.name=../x", "train.steps=1e999",
             "\x00=1"]  # fmt: skip


def mutated(draw: random.Random, raw: bytes) -> bytes:
    """Flip, cut, repeat or insert some bytes."""
    data = bytearray(raw)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        place = draw.randrange(len(data) + 1)
        match draw.randrange(6):
            case 0 if data:
                data[place % len(data)] ^= 1 << draw.randrange(8)
            case 1 if data:
                data[place % len(data)] = draw.randrange(256)
            case 2:
                del data[place : place + draw.choice([1, 2, 8, 100, 10**6])]
            case 3:
                data[place:place] = draw.choice(INTERESTING)
            case 4:
                piece = data[place : place + draw.choice([1, 8, 64])]
                data[place:place] = bytes(piece) * draw.choice([1, 2, 500])
            case 5 if len(data) >= 8:
                place %= len(data) - 7
                data[place : place + 8] = draw.choice([0, 1, 255, 2**31, 2**32, 2**63, 2**64 - 1]).to_bytes(8, "little")
    return bytes(data[: 4 << 20])


def packed(draw: random.Random, text: bytes) -> bytes:
    def zipped(raw: bytes) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(draw.choice(["a.tsv", "../a.tsv", "/a", "a\\..\\b"]), raw)
            archive.writestr("a/b", b"c")
        return made.getvalue()

    pack = draw.choice([bytes, bytes, gzip.compress, bz2.compress, lzma.compress, zipped, zipped])
    with suppress(ImportError):
        import zstandard

        pack = draw.choice([pack, zstandard.ZstdCompressor().compress])
    return pack(text)


def corpus(draw: random.Random, folder: Path) -> None:
    rows = [draw.choice(["one\teins", "zwei two\tdrei", '{"src": "a", "tgt": "b"}', '{"translation": {"en": 1}}', ""])
            for _ in range(draw.choice([0, 1, 3, 50]))]  # fmt: skip
    text = "\n".join(rows).encode()
    if draw.random() < 0.02:
        text = draw.choice([b"a", b"a\n", b"\n", b"a\tb\n"]) * (1 << 20)  # compressed, a decompression bomb
    text = mutated(draw, text) if draw.random() < 0.5 and len(text) < 1 << 20 else text
    raw = packed(draw, text)
    raw = mutated(draw, raw) if draw.random() < 0.7 and len(raw) < 1 << 20 else raw
    names = draw.choice([["a.en", "a.de"], ["a.tsv"], ["a.jsonl"], ["a.tsv.gz"], ["x.zip"]])
    for name in names:
        (folder / name).write_bytes(raw)
    if names == ["x.zip"]:
        read_member(folder / "x.zip", draw.choice(["a.tsv", "a/b", "../a.tsv"]), draw.choice([10, 1 << 30]))
        return
    for _ in read_pairs([str(folder / name) for name in names], "en", "de"):
        pass


def good_model() -> dict[str, bytes | dict]:
    words = ["one two three", "four five six seven", "eight nine ten"] * 20
    section = TokenizerConfig(vocab_size=60, byte_fallback=False, normalization="identity")
    with tempfile.TemporaryDirectory() as cache:
        tokenizer = train_tokenizer(words, words, section, Path(cache))
    size = tokenizer.src_size
    shape = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1, max_length=64)
    description = Description(
        src="en", tgt="de", src_size=size, tgt_size=size, max_length=64, precision=Precision.fp32, model=shape,
        decode=DecodeConfig(),
    )  # fmt: skip
    weights = {name: p.detach() for name, p in text_model(shape, src_size=size, tgt_size=size).named_parameters()}
    return {**description.files(tokenizer), "model.safetensors": weights}


def model(draw: random.Random, folder: Path) -> None:
    parts = {**GOOD}
    name = draw.choice([*parts, "MANIFEST.json"])
    if name == "config.json" and draw.random() < 0.6:
        values = json.loads(parts[name])
        table = draw.choice([values, values["model"], values["decode"]])
        key = draw.choice([*table, "_target_", "new"])
        table[key] = draw.choice(VALUES)
        parts[name] = json.dumps(values).encode()
    elif name != "MANIFEST.json":
        parts[name] = mutated(draw, parts[name])
    write_folder(folder / "model", parts)
    if name == "MANIFEST.json":
        file = folder / "model" / name
        file.write_bytes(mutated(draw, file.read_bytes()))
    found = read_model(folder / "model")
    found.tokenizer.encode_source(["one two \ud800 three"])


def config(draw: random.Random, folder: Path) -> None:
    file, canary = folder / "my.yaml", str(folder / CANARY)
    lines = [draw.choice(YAML).format(canary=canary) for _ in range(draw.randint(1, 4))]
    text = draw.choice(["\n", "\n  ", ": ", ", "]).join(lines).encode()
    file.write_bytes(mutated(draw, text) if draw.random() < 0.5 else text)
    overrides = [draw.choice(OVERRIDES).replace("{canary}", canary) for _ in range(draw.choice([0, 0, 1, 2]))]
    if overrides and draw.random() < 0.3:
        overrides[0] = mutated(draw, overrides[0].encode())[:200].decode("utf-8", "replace")
    compose(overrides, config_file=file)


WHERE: list[bool] = []
GOOD: dict[str, bytes] = {}
TARGETS: dict[str, Callable[[random.Random, Path], None]] = {"corpus": corpus, "model": model, "config": config}


def try_case(target: str, seed: int, folder: Path) -> str | None:
    """What is wrong with the handling of a case; None: nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: a busy machine is no hang
    signal.alarm(12 * SECONDS)
    if WHERE:
        faulthandler.dump_traceback_later(SECONDS - 1)
    try:
        TARGETS[target](random.Random(f"{target} {seed}"), folder)
    except MtError as error:
        said = readable(str(error))  # as the command line prints it
        if not said or "\n" in said or len(said) > 2000:
            return f"an error of {len(said)} characters: {said[:200]!r}"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    return "the canary was made" if (folder / CANARY).exists() else None


def child(args: argparse.Namespace, first: int, end: float, pipe: int, home: Path) -> None:
    """Try case after case; each is reported before it is tried, so that a crash has a name."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        now = int(file.read().split(" ")[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    os.fsync = lambda handle: None  # no test of the disk
    targets = [args.only] if args.only else list(TARGETS)
    for number in range(first, args.seed + args.cases):
        if time.monotonic() > end:
            break
        target = targets[number % len(targets)]
        os.write(pipe, f"try {target} {number}\n".encode())
        problem = try_case(target, number, home / "case")
        if problem:
            os.write(pipe, f"bad {json.dumps(problem)}\n".encode())
    os.write(pipe, b"end\n")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1, help="number of the first case")
    parser.add_argument("--where", action="store_true", help="show the traceback of a hang")
    parser.add_argument("--only", choices=list(TARGETS))
    args = parser.parse_args(argv)
    WHERE.extend([True] * args.where)
    import mt.log

    mt.log.logger.setLevel("ERROR")
    GOOD.update(signed(good_model()))
    with tempfile.TemporaryDirectory() as home:  # so that no case pays for the imports of its target
        for target in TARGETS:
            try_case(target, 0, Path(home) / "case")
    number = args.seed
    counts, findings, over, end = Counter(), [], False, time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        while not over and time.monotonic() < end:
            readable, writable = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(readable)
                try:
                    child(args, number, end, writable, Path(home))
                finally:
                    os._exit(0)
            os.close(writable)
            target = "none"
            with os.fdopen(readable, encoding="utf-8") as pipe:
                for line in pipe:
                    word, _, rest = line.strip().partition(" ")
                    if word == "try":
                        target, case = rest.split(" ")
                        number = int(case)
                        counts[target] += 1
                    elif word == "bad":
                        findings.append((target, number, json.loads(rest)))
                    over |= word == "end"
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code < 0:
                reason = "a hang" if -code in (signal.SIGALRM, signal.SIGPROF) else signal.Signals(-code).name
                findings.append((target, number, f"the process died: {reason}"))
            elif not over:
                findings.append((target, number, "the process left"))
            number += 1
    print(f"{sum(counts.values()):,} cases: " + ", ".join(f"{n:,} {target}" for target, n in sorted(counts.items())))
    for target, case, problem in findings[:20]:
        print(f"\nfinding: --only {target} --seed {case} --cases 1\n{problem.strip()}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


def signed(parts: dict) -> dict[str, bytes]:
    """The files of a good model as bytes, to be changed and written again."""
    with tempfile.TemporaryDirectory() as home:
        write_folder(Path(home) / "model", parts)
        return {name: (Path(home) / "model" / name).read_bytes() for name in parts}


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
