"""Kill a run at every file event, resume it with the same command, and compare the result by an independent package.

    python scripts/crash_judge.py                           one process, every event, each attempt a process of its own
    python scripts/crash_judge.py --fork                    children of one process that has imported torch; minutes
    python scripts/crash_judge.py --processes 2 --points 40 two processes under torchrun, 40 of the points
    python scripts/crash_judge.py --fork --modes unsynced   lose what was not flushed to the disk

The judge is ckpt-chaos (of the extra `dev`). It runs the unmodified command once and records every file that the
command opens for writing, renames or removes. For each of these events it then starts a run that ends there: before the
event (`before`), with the file cut in half when it is closed (`torn`), by SIGTERM and five seconds of grace (`term`),
or before the event and without anything that was not flushed to the disk (`unsynced`). The run is tiny and has every
phase: it reads text into the cache, saves after every update, validates, removes old checkpoints, ends, averages,
translates a test set and writes `model/`. Forks share settings that were read once; a run of two processes is killed at
the events of the first.

A file that is only appended to (`train.log`, `metrics.jsonl`) loses nothing that was written when a process is killed,
so `torn` is no crash there; such points are shown as NO_CRASH where they differ.

PASS means that the resumed run continued from the newest whole checkpoint that the killed run left, and that the final
folder equals that of the unbroken run: the same files with the same weights, states, numbers, samples, scores, messages
and pointers, except measured times and the list of attempts. Prints a table of all points and one of the phases. Exits
with 1 if any point is not PASS.
"""

import argparse
import gc
import hashlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kill_anywhere import MEASURED, SETTINGS, write_text
from mistakes import run_script
from omegaconf import OmegaConf

STEPS, EVERY = 5, 2  # validations at 2, 4 and 5: the first of their checkpoints is removed
LAID_OVER = f"train.steps={STEPS} train.validate_every={EVERY} train.save_minutes=1e-6 optim.lr=0.1 data.workers=0"
OUT = ["run.root={out}", "run.name=run", "data.cache={out}/cache"]
RESUMED = r"(?:going on from step|is finished after) (\d+)"
APPENDED = re.compile(r"train\.log|metrics\.jsonl|\.lock|events\.out\.tfevents.*")
OF_ATTEMPTS = ("going on from step", "SIGTERM: saving")  # messages of runs with several attempts only
UNFLUSHED = ("tensorboard", "train.log")  # may lose their last lines in a power cut; their numbers are elsewhere, too


# ---------------------------------------------------------------- contents that must be equal


def contents(out: Path, *, unsynced: bool = False) -> dict[str, str]:
    """The contents of a run's folder by file name, without measured times and the names of this attempt."""
    run, found = out / "run", dict[str, str]()
    for file in sorted(out.rglob("*")):
        name = str(file.relative_to(out))
        if file.is_dir() or (name.startswith("cache/") and "/." in name):  # the cache is shared, and swept by age
            continue
        if file.parent.name != "tensorboard":
            found[name] = content(file).replace(str(out), "{out}")
    found["tensorboard"] = "\n".join(board(run / "tensorboard"))
    if unsynced:
        found = {name: text for name, text in found.items() if Path(name).name not in UNFLUSHED}
    return found


def content(file: Path) -> str:
    """The contents of one file that must be equal."""
    raw = file.read_bytes()
    if file.name == ".lock":
        return ""
    if file.name in ("latest", "best", "config.yaml", "test.hyp.txt") or file.suffix == ".txt":
        return raw.decode()
    if file.name == "train.log":
        lines = [line.partition(" ")[2] for line in raw.decode().splitlines()]
        own = [re.sub(r"\(\d+ s\)", "", line) for line in lines if not line.split(" ", 1)[1].startswith(OF_ATTEMPTS)]
        return "\n".join(dict.fromkeys(own))  # the next attempt repeats a message
    if file.name == "metrics.jsonl":
        rows = [json.loads(line) for line in raw.decode().splitlines()]
        return "\n".join(json.dumps({k: v for k, v in row.items() if k not in MEASURED}) for row in rows)
    if file.name == "README.md":
        return re.sub(r"[\d.]+ minutes", "minutes", raw.decode())
    if file.suffix == ".json":
        return json.dumps(untimed(json.loads(raw)), indent=1)
    return hashlib.sha256(raw).hexdigest()


def untimed(value: Any) -> Any:
    """JSON without attempts, without seconds, and without the hashes of files that hold seconds."""
    if isinstance(value, dict):
        leave = {"attempts", "seconds", "state.json", "README.md"}
        return {key: untimed(item) for key, item in value.items() if key not in leave}
    return [untimed(item) for item in value] if isinstance(value, list) else value


def board(folder: Path) -> list[str]:
    """The values in TensorBoard, one a line, without those that a later attempt replaced."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    shown: list[tuple[int, str, str]] = []
    for file in sorted(folder.glob("events.*"), key=lambda file: file.stat().st_mtime_ns):
        for event in EventFileLoader(str(file)).Load():
            if event.session_log.status == event.session_log.START:
                shown = [value for value in shown if value[0] < event.step]
            for value in event.summary.value:
                if value.tag.partition("/")[2] not in MEASURED:
                    digest = hashlib.sha256(value.tensor.SerializeToString(deterministic=True)).hexdigest()
                    shown.append((event.step, value.tag, digest))
    return [f"{step} {tag} {digest[:16]}" for step, tag, digest in shown]


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """One sentence for each file that differs."""
    found = []
    for name in sorted(one.keys() | other.keys()):
        if name not in other or name not in one:
            found.append(f"{name} is {'missing' if name in one else 'too many'}")
        elif one[name] != other[name]:
            a, b = one[name].splitlines(), other[name].splitlines()
            at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            lines = [rows[at].strip()[:80] if at < len(rows) else "nothing" for rows in (b, a)]
            found.append(f"{name} line {at + 1}: {lines[0]!r} is not {lines[1]!r}")
    return found


def newest_whole(out: Path) -> int:
    """The step of the newest checkpoint whose files all match its manifest; 0: none."""
    for folder in sorted((out / "run/checkpoints").glob("step-????????"), reverse=True):
        try:
            listed = json.loads((folder / "MANIFEST.json").read_bytes())["files"]
            hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed}
        except (OSError, ValueError, KeyError):
            continue
        if all(listed[name]["sha256"] == found for name, found in hashes.items()):
            return int(folder.name.removeprefix("step-"))
    return 0


# ---------------------------------------------------------------- attempts


def mt_command(processes: int, settings: list[str], folder: Path) -> list[str]:
    """The command with its text and a file of its settings, which are written to `folder`."""
    sections = OmegaConf.from_dotlist([*SETTINGS.split(), *LAID_OVER.split()])
    for seed, (name, count) in enumerate([("train", 60), ("dev", 8), ("test", 8)], 1):
        write_text(folder / f"{name}.tsv", count, seed=seed)
        sections.data[name] = [str(folder / f"{name}.tsv")]
    OmegaConf.save(sections, folder / "settings.yaml")
    argv = [sys.executable, "-m", "mt", "train", "--config", str(folder / "settings.yaml"), *OUT, *settings]
    if processes == 1:
        return argv
    # Without this, torchrun's own process would be killed; its children write the files.
    armed = ["--no-python", "env", "-u", "CKPT_CHAOS_ARMED"]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        *armed,
        *argv,
    ]


def look_and_resume(out: str, *command: str) -> int | None:
    """Record the state that the killed run left, then become the command."""
    (Path(out).parent / "left.json").write_text(json.dumps(newest_whole(Path(out))))
    if command[:3] == (sys.executable, "-m", "mt") and "mt.cli.main" in sys.modules:  # a fork that has imported it
        from mt.cli.main import main as mt

        return mt(list(command[3:]))
    return os.execv(command[0], command)


def forked(command: list[str], env: dict[str, str], cwd: str, timeout: int) -> tuple[int, str]:
    """Run a command of this script as a fork of this process; returns the exit code and the output."""
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.environ.clear()
                os.environ.update(env)
                os.chdir(cwd)
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                code = in_fork(command)
                sys.stdout.flush()
            finally:
                os._exit(code)
        handle = os.pidfd_open(pid)
        ended = select.select([handle], [], [], timeout)[0]
        os.close(handle)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said.seek(0)
        return (code, said.read().decode("utf-8", "replace")) if ended else (-9, "TIMEOUT")


def read_settings_once(command: list[str]) -> None:
    """Before forking: settings as the command reads them, which takes it longer than the rest of so small a run."""
    import torch._dynamo
    import torch.utils.tensorboard  # noqa: F401
    from tensorboard.backend.event_processing import event_file_loader  # noqa: F401

    from mt import build
    from mt.cli import hydra_job
    from mt.cli.main import main as mt

    found: list[Any] = []
    train, build.train = build.train, lambda config, _: found.append(config)
    assert mt([word.replace("{out}", "out") for word in command[3:]]) == 0
    build.train = train
    config = found[0]

    def launch(args: argparse.Namespace, command: list[str]) -> None:
        root = next(word for word in args.overrides if word.startswith("run.root=")).partition("=")[2]
        config.run.root, config.data.cache = root, f"{root}/cache"
        train(config, command)

    hydra_job.launch = launch
    gc.collect()
    gc.freeze()


def in_fork(command: list[str]) -> int:
    from ckpt_chaos.targets.common import arm_from_env

    arm_from_env(0, lazy=True)
    os.environ["CKPT_CHAOS_ARMED"] = "1"  # without it, every Python that this one starts would count events too
    if command[1] == "-m":
        from mt.cli.main import main as mt

        return mt(command[3:])
    return main(command[2:])


# ---------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Point:
    label: str
    mode: str
    phase: str
    newest: int
    resumed: int | None
    verdict: str
    differences: list[str]


def phases(events: list[tuple[int, str, str, bool]]) -> dict[int, str]:
    """The phase of each event of the unbroken run, by the file that is written."""
    found, phase = {}, "start"
    for number, kind, name, _ in events:
        if sample := re.fullmatch(r"\.tmp-step-(\d+)\.txt", name):
            phase = "the end of training" if int(sample[1]) == STEPS else "validation"
        elif kind == "os.mkdir" and (saved := re.fullmatch(r"\.tmp-step-(\d+)-\d+", name)):
            phase = phase if int(saved[1]) % EVERY == 0 or int(saved[1]) == STEPS else "mid-run"
        elif name.startswith(".tmp-test.") or name == "eval":
            phase = "evaluation"
        elif name.startswith(".tmp-model"):
            phase = "model/"
        found[number] = phase
    return found


def judged(work: Path, events: list[tuple[int, str, str, bool]]) -> list[Point]:
    from ckpt_chaos.runner import rejudge

    at, points = phases(events), []
    wholes = {unsynced: contents(work / "reference/out", unsynced=unsynced) for unsynced in (False, True)}
    rows = {row.label: row for row in rejudge(work)}
    for folder in sorted(work.glob("pt_*")):
        record = json.loads((folder / "result.json").read_text())
        number, mode = record.get("point", (0, "no crash"))
        row = rows[record["label"]]
        verdict, resumed = row.verdict, row.outcome.resumed_from_step
        left = json.loads((folder / "left.json").read_text()) if number else STEPS
        unsynced = mode == "unsynced"
        found = differences(wholes[unsynced], contents(folder / "out", unsynced=unsynced))
        if verdict == "PASS" and found:
            verdict = "SILENT_DIVERGENCE"
        elif verdict == "PASS" and number and (resumed or 0) < left:
            verdict = "LOST_WORK"
        if verdict != "PASS" and mode == "torn" and APPENDED.fullmatch(record["event"][1]):
            verdict = "NO_CRASH"
        points.append(Point(record["label"], mode, at.get(number, "-"), left, resumed, verdict, found))
    return points


def tables(points: list[Point]) -> str:
    """Point by point, then phase by phase (Markdown)."""
    lines = [f"{'crash point':<62} {'phase':<20} {'whole':>5} {'resumed from':>12}  verdict"]
    for point in points:
        resumed = "-" if point.mode == "no crash" else "the start" if point.resumed is None else f"step {point.resumed}"
        lines.append(f"{point.label:<62} {point.phase:<20} {point.newest:>5} {resumed:>12}  {point.verdict}")
        lines += [f"    {difference}" for difference in point.differences]
    lines += ["", "| phase | points | resumed from | verdict |", "|---|---|---|---|"]
    for phase in dict.fromkeys(point.phase for point in points):
        here = [point for point in points if point.phase == phase]
        steps = sorted({point.resumed or 0 for point in here})
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(p.verdict for p in here).items())
        lines.append(f"| {phase} | {len(here)} | {', '.join(f'{step}' for step in steps)} | {verdicts} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    if argv[:1] == ["contents"]:
        print(hashlib.sha256(json.dumps(contents(Path(argv[1]), unsynced="unsynced" in argv)).encode()).hexdigest())
        return 0
    if argv[:1] == ["resume"]:
        return look_and_resume(*argv[1:]) or 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=1, help="more than one: under torchrun")
    parser.add_argument("--points", type=int, default=100_000, help="at most so many, spread evenly")
    parser.add_argument("--modes", default="before,torn", help="of before, torn, term and unsynced (alone)")
    parser.add_argument("--fork", action="store_true", help="fork this process instead of starting new ones")
    parser.add_argument("--keep", type=Path, help="work in this folder, which must be new, and leave it")
    parser.add_argument("settings", nargs="*", help="settings of mt train, which override those of this script")
    args = parser.parse_args(argv)
    if args.fork and args.processes > 1:
        parser.error("--fork is for one process")
    return judge(args)


def judge(args: argparse.Namespace) -> int:
    from ckpt_chaos import byo
    from ckpt_chaos.runner import _events

    os.environ["OMP_NUM_THREADS"] = "1"
    folder = (args.keep or Path(tempfile.mkdtemp(prefix="crash-judge-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train = mt_command(args.processes, args.settings, folder)
    if args.fork:
        read_settings_once(train)
        byo._run = forked
    modes = tuple(args.modes.split(","))
    script = [sys.executable, str(Path(__file__).resolve())]
    result = [*script, "contents", "{out}", *(["unsynced"] if "unsynced" in modes else [])]
    work = folder / "work"
    byo.run_byo(
        train, [*script, "resume", "{out}", *train], work, max_points=args.points, result_cmd=shlex.join(result),
        step_regex=RESUMED, modes=modes,
    )  # fmt: skip
    points = judged(work, _events(work / "reference/events.log.rank0"))
    print(tables(points))
    wrong = [point for point in points if point.verdict not in ("PASS", "NO_CRASH")]
    counts = Counter(point.verdict for point in points)
    print("\n" + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    if args.keep is None and not wrong:
        shutil.rmtree(folder)
    elif wrong:
        print(f"see {folder}")
    return 1 if wrong else 0


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
