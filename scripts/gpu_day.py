"""The parts of `scripts/gpu_day.sh`. Each prints lines of JSON; the last one of a part has `"ended": true`.

    DEVICE=cuda DATA=data SMALL= python scripts/gpu_day.py PART FOLDER

doctor      `mt doctor`, with its self-test
tests       `pytest -m gpu`
agreement   the losses of 20 updates, and translations of 200 sentences, on the device and on the CPU
precisions  the loss after the same updates in fp32, bf16 and fp16; how fp16's scale recovers from overflow
rates       target tokens a second of each model: eager, as CUDA graphs, compiled; MFU; shares of waiting
decoding    greedy search and beam 5 beside CTranslate2 with the same weights
memory      the batch of `batch.tokens=auto`, and an update with more than fits
speedrun    `scripts/speedrun.sh`, eager and with CUDA graphs
resume      a run that is killed and continued, beside one that is not
"""

import argparse
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_training import flops, make_updater, peak_flops, peak_memory, synchronise
from mistakes import run_script

from mt.build import make_model, prepare_data
from mt.cli.compose import compose
from mt.compute.device import autocast_dtype, pick_device, pick_precision, set_up_cpu
from mt.config import Config, Precision
from mt.data.batching import BatchStream
from mt.data.prepare import PreparedData
from mt.decode.load import load
from mt.interchange.ct2 import write_ct2
from mt.text.lines import read_lines
from mt.train.acceleration.memory import find_budget, worst_batches
from mt.train.step import Updater

DEVICE, DATA, SMALL = os.environ.get("DEVICE", "cuda"), os.environ.get("DATA", "data"), bool(os.environ.get("SMALL"))
SCRIPTS = Path(__file__).parent
TOY_MODEL = ["model=tiny", "model.dim=16", "model.heads=2", "model.ffn_dim=32", "model.encoder_layers=1"]
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def size(usual: int, small: int) -> int:
    return small if SMALL else usual


def say(**facts: Any) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def settings(folder: Path) -> list[str]:
    """The text and the tokenizer of all parts: Multi30k, or made-up text where sizes are small."""
    if not SMALL:
        return ["data=multi30k_en_de", f"data.root={DATA}", "tokenizer=bpe", "tokenizer.vocab_size=8000"]
    for name, count in (("train", 300), ("dev", 20), ("test", 20)):
        lines = [[WORDS[(n * k + k) % 10] for k in range(2, 4 + n % 4)] for n in range(count)]
        text = "".join(f"{' '.join(line)}\t{' '.join(word[::-1] for word in line)}\n" for line in lines)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    files = [f"data.{name}=[{folder / name}.tsv]" for name in ("train", "dev", "test")]
    sizes = [
        "tokenizer.vocab_size=60",
        "tokenizer.byte_fallback=false",
        "batch.tokens=256",
        "batch.max_length=64",
        "train.validate_every=1000",
    ]
    return ["data=files", "data.src=en", "data.tgt=de", f"data.cache={folder / 'cache'}", *files, *sizes]


class Bench:
    """Updates of one model without a trainer, as in `mt train`."""

    def __init__(self, folder: Path, overrides: list[str], device: str, precision: Precision) -> None:
        model = TOY_MODEL if SMALL else []
        self.config: Config = compose([*settings(folder), *overrides, *model, "run.name=bench"])
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.prepared: PreparedData = prepare_data(self.config)
        torch.manual_seed(1)
        model = make_model(self.config, self.prepared, torch.device("cpu")).to(self.device).train()
        self.updater: Updater = make_updater(self.config, self.prepared, model, self.precision)
        self.stream = BatchStream(self.prepared.train, self.config.batch, seed=1)

    def losses(self, count: int) -> list[float]:
        """Per target token, of the next updates, with a short warm-up of the learning rate."""
        pending = [
            self.updater([next(self.stream)], self.config.optim.lr * min(1, (n + 1) / 50), seeds=[n])
            for n in range(count)
        ]
        return [one.read().nll for one in pending]


def mt(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "mt", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mt {arguments[0]} ended with exit code {done.returncode}; the log has its words")
    return done


def train(folder: Path, name: str, *overrides: str) -> list[str]:
    """The arguments of a training run."""
    model = TOY_MODEL if SMALL else ["model=tiny"]
    fixed = [f"run.root={folder / 'runs'}", f"run.name={name}", f"train.device={DEVICE}", "train.minutes=null"]
    return ["train", *settings(folder), *model, *fixed, *overrides]


def doctor(folder: Path) -> dict[str, Any]:
    # A problem is part of the report, not an error here.
    done = subprocess.run([sys.executable, "-m", "mt", "doctor", "--json"], stdout=subprocess.PIPE, check=False)
    found = json.loads(done.stdout)
    return {name: found[name] for name in ("system", "packages", "cpu", "devices", "self_test", "problems", "git")}


def tests(folder: Path) -> dict[str, Any]:
    shown = ["--collect-only", "tests/unit/train/acceleration"] if SMALL else []
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n0", "-p", "no:cacheprovider", *shown]
    done = subprocess.run(command, cwd=SCRIPTS.parent, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, file=sys.stderr)
    lines = done.stdout.strip().splitlines()
    return {"exit_code": done.returncode, "failed": [x for x in lines if x.startswith("FAILED")], "summary": lines[-1]}


def agreement(folder: Path) -> dict[str, Any]:
    count = size(20, 3)
    for precision in (Precision.fp32, Precision.bf16):
        ours, cpu = (
            Bench(folder, ["model=tiny", "model.dropout=0"], device, precision).losses(count)
            for device in (DEVICE, "cpu")
        )
        apart = max(abs(a / b - 1) for a, b in zip(ours, cpu, strict=True))
        say(
            part="agreement", precision=precision, device_losses=ours, cpu_losses=cpu, largest_relative_difference=apart
        )
    mt(*train(folder, "day", f"train.steps={size(1500, 5)}"))
    sources = texts(folder)[: size(200, 10)]
    wanted = load(folder / "runs" / "day", device="cpu", precision="fp32").translate(sources, beam=5)
    shares = {}
    for precision in ("fp32", "bf16"):
        found = load(folder / "runs" / "day", device=DEVICE, precision=precision).translate(sources, beam=5)
        shares[precision] = statistics.mean(a == b for a, b in zip(found, wanted, strict=True))
    return {"sentences": len(sources), "same_as_fp32_on_the_cpu": shares}


def texts(folder: Path) -> list[str]:
    """The sources of the test set."""
    if SMALL:
        return [line.split("\t")[0] for line in read_lines(folder / "test.tsv")]
    from mt.data.corpus.catalog import fetch

    return [pair.src for pair in fetch("multi30k_en_de", Path(DATA)).test]


def precisions(folder: Path) -> dict[str, Any]:
    losses = {}
    for precision in (Precision.fp32, Precision.bf16, Precision.fp16):
        bench = Bench(folder, ["model=tiny"], DEVICE, precision)
        losses[precision.value] = statistics.mean(bench.losses(size(600, 6))[-size(50, 3) :])
        say(part="precisions", precision=precision, loss=losses[precision.value])
    scaler, before = bench.updater.scaler, float(bench.updater.scaler.get_scale())
    scaler.update(2.0**30)
    skipped = 0
    while bench.updater([next(bench.stream)], 1e-4).read().skipped and skipped < 200:
        skipped += 1
    after = bench.losses(3)
    return {
        "losses": losses, "scale": before, "skipped_after_overflow": skipped, "scale_after": float(scaler.get_scale()),
        "losses_after": after,
    }  # fmt: skip


def rates(folder: Path) -> dict[str, Any]:
    """One line for each model and way; an error of one, such as a lack of memory, does not stop the others."""
    budgets = {"tiny": 8192, "small": 16384, "base": 25000, "big": 16384}
    peak = peak_flops(pick_device(DEVICE), autocast_dtype(pick_precision(Precision.auto, pick_device(DEVICE))))
    ways = {
        "eager": [],
        "graphs": ["train.graphs=always"],
        "compile": ["train.compile=always"],
    }
    measured = 0
    for model, tokens in list(budgets.items())[: size(4, 1)]:
        for way, extra in list(ways.items())[: size(3, 1)]:
            budget = [] if SMALL else [f"batch.tokens={tokens}"]
            try:
                facts = rate(Bench(folder, [f"model={model}", *budget, *extra], DEVICE, Precision.auto), peak)
                measured += 1
            except Exception as error:  # the report says which
                facts = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            say(part="rates", model=model, way=way, **facts)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    if not measured:
        raise RuntimeError("no model could be measured; the lines before say why")
    return {"peak_tflops": peak / 1e12, "measured": measured}


def rate(bench: Bench, peak: float) -> dict[str, Any]:
    """As the trainer works: the numbers of an update are read one update later."""
    bench.losses(size(20, 1))
    synchronise(bench.device)
    started, for_data, for_device, src, tgt, before = time.perf_counter(), 0.0, 0.0, 0, 0, None
    for _ in range(size(60, 2)):
        clock = time.perf_counter()
        batch = next(bench.stream)
        for_data += time.perf_counter() - clock
        src, tgt = src + batch.source.layout.num_rows, tgt + batch.target_layout.num_rows
        now = bench.updater([batch], 1e-4)
        clock = time.perf_counter()
        if before is not None:
            before.read()
        for_device += time.perf_counter() - clock
        before = now
    synchronise(bench.device)
    seconds = time.perf_counter() - started
    return {
        "target_tokens_per_second": tgt / seconds,
        "mfu": flops(bench.updater.model, src, tgt) / seconds / peak,
        "share_waiting_for_data": for_data / seconds,
        "share_waiting_for_device": for_device / seconds,
        "peak_memory_gib": peak_memory(bench.device),
        "precision": bench.precision,
    }


def decoding(folder: Path) -> dict[str, Any]:
    model = folder / "runs" / "day"
    if not model.is_dir():
        mt(*train(folder, "day", f"train.steps={size(1500, 5)}"))
    sources = texts(folder)
    precision = "fp16" if DEVICE != "cpu" else "fp32"
    for beam in (1, 5):
        for graphs in (False, True) if DEVICE != "cpu" else (False,):
            translator = load(model, device=DEVICE, precision=precision, cuda_graphs=graphs)
            speed = timed(lambda t=translator, b=beam: t.translate(sources, beam=b), len(sources))
            say(part="decoding", system="mt", beam=beam, precision=precision, cuda_graphs=graphs,
                sentences_per_second=speed)  # fmt: skip
    if importlib.util.find_spec("ctranslate2") is None:
        return {"ctranslate2": "skipped: the package ctranslate2 is not installed"}
    for beam in (1, 5):
        say(part="decoding", system="ctranslate2", beam=beam, sentences_per_second=theirs(model, sources, beam))
    return {"ctranslate2": "measured"}


def timed(work: Callable[[], object], count: int) -> float:
    """The rate of the best of three, after one to warm up."""
    found = []
    for _ in range(size(4, 2)):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return count / min(found[1:])


def theirs(model: Path, sources: list[str], beam: int) -> float:
    import ctranslate2

    plain, kind = load(model, device="cpu", precision="fp32"), "float32" if DEVICE == "cpu" else "float16"
    with tempfile.TemporaryDirectory() as place:
        write_ct2(plain.stepper.model, plain.tokenizer, Path(place) / "ct2", quantization=kind)
        engine = ctranslate2.Translator(str(Path(place) / "ct2"), device=DEVICE, compute_type=kind)
        t = plain.tokenizer
        options: dict[str, Any] = {"beam_size": beam, "length_penalty": 1.0, "max_decoding_length": plain.max_length}

        def work() -> None:
            pieces = [t.pieces_source(ids[:-1]) for ids in t.encode_source(sources)]
            engine.translate_batch(pieces, max_batch_size=4096, batch_type="tokens", **options)

        return timed(work, len(sources))


def memory(folder: Path) -> dict[str, Any]:
    """With a tenth of the GPU's memory, so that the search for the edge takes a moment."""
    if DEVICE != "cpu":
        torch.cuda.set_per_process_memory_fraction(0.1)
    bench = Bench(folder, ["model=base"], DEVICE, Precision.auto)
    parameters, corpus = list(bench.updater.model.parameters()), bench.prepared.train

    def attempt(batch: Any) -> object:
        return bench.updater.compute_gradients(batch, bench.updater.objective.prepare_largest(batch), 1)

    budget = find_budget(attempt, corpus, bench.config.batch, parameters)
    say(part="memory", budget=budget, peak_memory_gib=peak_memory(bench.device))
    tokenizer = corpus.tokenizer
    over = worst_batches(
        size(8, 1) * budget, shortest=8, longest=64, vocabularies=(tokenizer.src_size, tokenizer.tgt_size)
    )
    update = bench.updater([next(over)], 1e-4).read()
    return {
        "budget": budget,
        "loss_over_the_edge": update.loss,
        "rows_that_did_not_fit": bench.updater.splitter.too_many,
    }


def speedrun(folder: Path) -> dict[str, Any]:
    small = [*settings(folder), *TOY_MODEL, "train.steps=4"] if SMALL else [f"data.root={DATA}"]
    for graphs in ("never", "always") if DEVICE != "cpu" else ("never",):
        given = [*small, f"train.device={DEVICE}", f"train.graphs={graphs}"]
        program = {"MT": os.environ.get("MT", str(Path(sys.executable).with_name("mt"))), "PYTHON": sys.executable}
        done = subprocess.run(
            ["sh", str(SCRIPTS / "speedrun.sh"), *given], env={**os.environ, **program}, stdout=subprocess.PIPE,
            text=True, check=True,
        )  # fmt: skip
        say(part="speedrun", graphs=graphs, said=done.stdout.strip().splitlines())
    return {}


def resume(folder: Path) -> dict[str, Any]:
    steps = size(800, 12)
    usual = [f"train.steps={steps}", f"train.validate_every={max(1, steps // 4)}", "train.log_every=1"]
    mt(*train(folder, "whole", *usual))
    killed = train(folder, "killed", *usual)
    checkpoints = folder / "runs" / "killed" / "checkpoints"
    process = subprocess.Popen([sys.executable, "-m", "mt", *killed], stdout=subprocess.DEVNULL)
    while process.poll() is None and not any(checkpoints.glob("step-*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    done = [logged(folder, "killed")[-1:], mt(*killed), logged(folder, "killed")]
    ends = [logged(folder, name)[-1] for name in ("whole", "killed")]
    return {"killed_with": code, "at": done[0], "losses_at_the_end": ends, "same": ends[0] == ends[1]}


def logged(folder: Path, name: str) -> list[Any]:
    """Step and loss of each logged update."""
    file = folder / "runs" / name / "metrics.jsonl"
    entries = map(json.loads, file.read_text(encoding="utf-8").splitlines() if file.exists() else ())
    return [[entry["step"], entry["loss"]] for entry in entries if entry["kind"] == "train"]


PARTS = (doctor, tests, agreement, precisions, rates, decoding, memory, speedrun, resume)


def main(name: str, folder: Path) -> None:
    set_up_cpu(None)
    started = time.perf_counter()
    facts = {part.__name__: part for part in PARTS}[name](folder.resolve())
    say(part=name, ended=True, seconds=round(time.perf_counter() - started, 1), **facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[part.__name__ for part in PARTS])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    run_script(lambda: main(args.part, args.folder))
