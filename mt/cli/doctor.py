"""`mt doctor`: check whether this machine can train and translate; a report as text or JSON."""

import argparse
import json
import platform
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mt.cli.options import Parser
from mt.compute.host import free_memory, processors, text_of
from mt.files import reason

REPORT = (
    "To report a bug, send the output of `mt doctor --json`, the command, the last lines of the run's train.log, its "
    "config.yaml and manifest.json, and the traceback that MT_DEBUG=1 shows. Read them first: they contain paths, and "
    "sample translations contain your text."
)
OPTIONAL = ("zstandard", "ctranslate2", "onnxruntime", "transformers", "pillow", "soundfile", "kaldi-native-fbank")
LEAST_DISK, LEAST_MEMORY = 2.0, 1.0  # GB
TOY = ["eins zwei drei", "vier fünf", "sechs sieben acht neun", "zehn"] * 8


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt doctor",
        description="Report versions, devices, precision, disk and memory, and train, save, load and use a toy model. "
        "The exit code is 0 without problems, else 1.",
        epilog=REPORT,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of corpora and caches (default: data)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs (default: runs)")
    return parser.parse_args(argv)


def run(argv: list[str]) -> int:
    args = parse(argv)
    facts, problems = examine(args)
    if args.json:
        print(json.dumps({**facts, "problems": problems}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(page(facts)))
        print("\n".join(f"problem: {problem}" for problem in problems) or "No problems found.")
        print(f"\n{REPORT}")
    return 1 if problems else 0


def examine(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The facts, and the problems among them."""
    from mt.provenance import machine, version_of

    process, memory = machine(), free_memory()
    facts: dict[str, Any] = {
        "mt": version_of("mt-trainer"),
        **{key: process[key] for key in ("python", "system", "git")},
        "packages": {**process["packages"], **{name: version_of(name) for name in OPTIONAL}},
        "cpu": {"model": cpu_model(), "usable": processors(), "allocator": platform.libc_ver()[0] or "unknown"},
        "memory_gb": None if memory is None else memory / 1e9,
        "devices": devices(),
        "places": {name: place(path) for name, path in (("data", args.data), ("runs", args.runs))},
    }
    problems = [f"{name}: {found['problem']}" for name, found in facts["places"].items() if found["problem"]]
    if facts["memory_gb"] is not None and facts["memory_gb"] < LEAST_MEMORY:
        problems.append(
            f"memory: {facts['memory_gb']:.1f} GB are free, but training a small model needs {LEAST_MEMORY:.0f} GB"
        )
    facts["self_test"] = self_test()
    if facts["self_test"]["problem"]:
        problems.append(f"self-test: {facts['self_test']['problem']}")
    return facts, problems


def devices() -> list[dict[str, Any]]:
    """Every device with the precision that `auto` stands for there."""
    import torch

    from mt.compute.device import fast_bf16, pick_precision
    from mt.config import Precision

    names = ["cpu"]
    names += [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    names += ["mps"] if torch.backends.mps.is_available() else []
    found = []
    for name in names:
        device = torch.device(name)
        auto = pick_precision(Precision.auto, device).value
        found.append({"name": name, "fast_bf16": fast_bf16(device), "auto_precision": auto})
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            model = torch.cuda.get_device_name(device)
            found[-1] |= {"model": model, "free_gb": free / 1e9, "total_gb": total / 1e9}
    return found


def place(path: Path) -> dict[str, Any]:
    """Whether a folder, which need not be there yet, can be written, and the room on its disk."""
    found: dict[str, Any] = {"path": str(path), "free_gb": None, "problem": None}
    there = path
    try:
        there = next(p for p in (path, *path.absolute().parents) if p.exists())
        found["free_gb"] = shutil.disk_usage(there).free / 1e9
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"mt")
    except OSError as error:
        found["problem"] = f"`{there}` cannot be written: {reason(error)}"
        return found
    if found["free_gb"] < LEAST_DISK:
        found["problem"] = f"`{there}` has {found['free_gb']:.1f} GB left; a run takes {LEAST_DISK:.0f}"
    return found


def self_test() -> dict[str, Any]:
    """Train a toy twice for some updates, save it, load it, translate: all that a real run rests on."""
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="mt-doctor-") as folder:
            problem = _try_toy(Path(folder))
    except Exception as error:  # any error: the report must still be printed
        problem = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return {"seconds": round(time.perf_counter() - started, 1), "problem": problem}


def _try_toy(folder: Path) -> str | None:
    import torch

    from mt.checkpoint import write_folder
    from mt.checkpoint.model_folder import Description
    from mt.config import DecodeConfig, ModelConfig, OptimConfig, Precision, TokenizerConfig
    from mt.decode.load import load
    from mt.text.tokenizer_training import train_tokenizer
    from mt.train.optim import make_optimizer

    section = TokenizerConfig(vocab_size=24, byte_fallback=False, normalization="identity")
    pieces = train_tokenizer(TOY, TOY, section, folder / "cache")
    shape = ModelConfig(dim=32, heads=2, ffn_dim=64, encoder_layers=1, decoder_layers=1, dropout=0.1, max_length=64)
    description = Description(
        src="de", tgt="de", src_size=pieces.tgt_size, tgt_size=pieces.tgt_size, max_length=32,
        precision=Precision.fp32, model=shape, decode=DecodeConfig(beam=2),
    )  # fmt: skip

    def train() -> tuple[list[float], dict[str, torch.Tensor]]:
        torch.manual_seed(1)
        model = description.new_model()
        losses = _losses(model, make_optimizer(model, OptimConfig(lr=1e-2)), pieces)
        return losses, {name: p.detach() for name, p in model.named_parameters()}

    (first, weights), (second, _) = train(), train()
    if first != second:
        return f"two identical trainings gave the losses {first[-1]} and {second[-1]}: runs are not reproducible here"
    if not first[-1] < 0.7 * first[0]:
        return f"in {len(first)} updates the loss fell only from {first[0]:.3f} to {first[-1]:.3f}"
    write_folder(folder / "model", {**description.files(pieces), "model.safetensors": weights})
    found = load(folder / "model", device="cpu").translate(TOY[:4])
    return None if len(found) == 4 and all(isinstance(text, str) for text in found) else "a translation was lost"


def _losses(model: Any, optimizer: Any, pieces: Any) -> list[float]:
    """The losses of forty updates on four sentences that the model learns to copy."""
    from mt.config import Precision
    from mt.data.batching import make_batch
    from mt.train.objective import batch_loss

    texts = TOY[:4]
    source, target = pieces.encode_source(texts), pieces.encode_target(texts)
    batch = make_batch(source, target, range(len(texts)), bos=pieces.bos, eos=pieces.eos)
    losses = []
    for _ in range(40):
        loss = batch_loss(model, batch, Precision.fp32, 0.0)
        optimizer.zero_grad()
        (loss.smoothed / batch.target_layout.num_rows).backward()
        optimizer.step()
        losses.append(loss.nll.item() / batch.target_layout.num_rows)
    return losses


def page(facts: dict[str, Any]) -> list[str]:
    """The facts, one a line."""
    cpu, test = facts["cpu"], facts["self_test"]
    memory = "unknown" if facts["memory_gb"] is None else f"{facts['memory_gb']:.1f} GB free"
    lines = [
        f"mt {facts['mt']}, Python {facts['python']}, {facts['system']}, revision {facts['git'] or 'unknown'}",
        "packages   " + ", ".join(f"{name} {version or '-'}" for name, version in facts["packages"].items()),
        f"processor  {cpu['model']}, {cpu['usable']} usable, allocator {cpu['allocator']}; memory {memory}",
    ]
    for device in facts["devices"]:
        more = f", {device['model']}, {device['free_gb']:.1f} GB free" if "model" in device else ""
        fast = "fast" if device["fast_bf16"] else "slow"
        lines.append(f"device     {device['name']}{more}: auto is {device['auto_precision']} (bf16 is {fast} here)")
    for name, found in facts["places"].items():
        free = "unknown" if found["free_gb"] is None else f"{found['free_gb']:.0f} GB free"
        lines.append(f"{name:10} {found['path']}: {'writable' if not found['problem'] else 'no'}, {free}")
    return [*lines, f"self-test  {'passed' if not test['problem'] else 'failed'} in {test['seconds']} s"]


def cpu_model() -> str:
    told = text_of(Path("/proc/cpuinfo"))
    if not told:
        return platform.processor() or sys.platform
    named = re.search(r"^model name[^:]*: (.*)", told, re.M)
    return named[1] if named else platform.machine()
