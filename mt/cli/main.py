"""The entry point: `mt VERB ...` imports the verb's module and runs it; errors become a line, a hint and an exit code.

Nothing heavy is imported here, so that help, the version and the error for a mistyped command appear at once.
"""

import atexit
import contextlib
import gc
import io
import os
import signal
import sys
import threading
import traceback
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

import mt
from mt.cli.hints import without_settings
from mt.compute.host import STOPPING, before_torch
from mt.errors import ConfigError, DataError, readable
from mt.files import in_words

VERBS = {
    "train": ("mt.cli.train", "train a translation model on pairs of sentences"),
    "translate": ("mt.cli.translate", "translate lines of text with a trained model"),
    "evaluate": ("mt.cli.evaluate", "score a trained model, or translations, against references"),
    "serve": ("mt.cli.serve", "translate over HTTP, for programs and in the browser"),
    "clean": ("mt.cli.clean", "find pairs that would harm a training, and leave them out"),
    "inspect": ("mt.cli.inspect", "show a model's attention as an HTML page"),
    "align": ("mt.cli.align", "find which words of sentence pairs are translations of each other"),
    "score": ("mt.cli.score", "print how likely a model finds given translations"),
    "rank": ("mt.cli.rank", "find the candidates that fit each query best"),
    "average": ("mt.cli.average", "average the weights of several checkpoints"),
    "runs": ("mt.cli.runs", "list runs, compare them, or delete some"),
    "info": ("mt.cli.info", "show what a model is, what it was trained on, and its scores"),
    "doctor": ("mt.cli.doctor", "check whether this machine can train and translate"),
    "export": ("mt.cli.export", "convert a model for CTranslate2, transformers or Argos Translate"),
    "import": ("mt.cli.import_model", "make a model folder of an OPUS-MT model or an Argos package"),
}
ACTIONS = {"runs": ("list", "compare", "delete"), "inspect": ("attention",)}  # words that stand behind a verb
SAVING = {"train", "serve"}  # which have their own answer to signals
INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code. Every `Exception` becomes a message."""
    if argv is None:
        argv = sys.argv[1:]
        # Importing torch makes a million objects and no garbage; collecting after every 700 of them takes a third of a
        # second.
        gc.set_threshold(100_000, 20, 20)
    name = f"mt {argv[0]}" if argv and argv[0] in VERBS else "mt"
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        # `print` would write messages to stdout, and libraries to the file that is opened next.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8", errors="replace")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Like all input, whatever the locale; names of files need not be UTF-8.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = dispatch(argv)
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]
            sys.stdout.flush()  # so that a closed pipe raises here, not at exit
    except KeyboardInterrupt as stop:
        return 128 + stop.args[0] if stop.args else INTERRUPTED
    except BrokenPipeError:
        silence(sys.stdout)
        return PIPE_CLOSED
    except OSError as error:
        written = flush_or_silence(sys.stdout)  # what could not be written is still there, and fails again
        where = "" if error.filename or written else "stdout cannot be written: "
        say(f"{name}: {where}{in_words(error).message}", error)
        return 1
    except Exception as error:
        known = in_words(error)
        say(f"{name}: {known.message}", error, hint=known.hint)
        return known.exit_code
    finally:
        flush_or_silence(sys.stderr)
    return code


def run_process() -> NoReturn:
    """Run the command line of this process and end it, as the installed command and `python -m mt` do."""
    if not SAVING.intersection(sys.argv[1:2]):
        # What is half written is removed then, as after Ctrl-C.
        for number in STOPPING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
    end_process(main())


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A handler: the signal is an interrupt, with the exit code that a shell gives to it."""
    raise KeyboardInterrupt(number)


def end_process(code: int) -> NoReturn:
    """End this process, whose work is done and written.

    To take Python and its libraries apart first takes 0.1 s, or 0.5 s with a collection of garbage, and a thread of a
    library that comes back from its work meanwhile aborts the process ("terminate called without an active exception"):
    a run that had ended well would have the exit code 134. Debuggers and profilers may finish their own work.
    """
    if is_watched():
        raise SystemExit(code)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # what removes temporary folders, among others
    flush_or_silence(sys.stdout)
    flush_or_silence(sys.stderr)
    os._exit(code)


def is_watched() -> bool:
    """Whether a debugger, a profiler or a measurement of coverage follows this process."""
    tools = getattr(sys, "monitoring", None)  # Python 3.12 on
    watched = tools is not None and any(tools.get_tool(number) is not None for number in range(6))
    return watched or sys.gettrace() is not None or sys.getprofile() is not None


def dispatch(argv: list[str]) -> int:
    """Print help or the version, complete a line, or run a verb. Raises: ConfigError: for an unknown command."""
    if not argv:
        print(usage(), file=sys.stderr)
        return ConfigError.exit_code
    word, *rest = argv
    if word in {"-h", "--help", "help"}:
        print(usage())
        return 0
    if word == "--version":
        print(f"mt {mt.__version__}")
        return 0
    if word in {"-sc", "--shell-completion"}:
        return complete(rest)
    if word not in VERBS:
        raise unknown_command(word)
    return run_verb(word, rest)


def run_verb(verb: str, argv: list[str]) -> int:
    """Import the verb's module and run it. An argument parser that exits gives the exit code."""
    module, _ = VERBS[verb]
    before_torch()
    try:
        return import_module(module).run(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except DataError as error:
        if verb == "train":
            raise
        raise without_settings(error, verb) from error


def unknown_command(word: str) -> ConfigError:
    """The error for a mistyped command or option; it names the nearest known one."""
    kind, choices = ("an option", ["--help", "--version"]) if word.startswith("-") else ("a command", list(VERBS))
    near = [f"mt {verb} {word}" for verb, words in ACTIONS.items() if word in words]
    near = near or get_close_matches(word, choices, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "`mt --help` lists the commands."
    return ConfigError(f"`{word}` is not {kind}.", hint=hint)


def usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {what}" for verb, (_, what) in VERBS.items())
    return f"""\
mt trains a translation model on two text files, translates with it and scores it.

usage: mt COMMAND [...]

commands:
{verbs}

  mt COMMAND --help     show the options of a command
  mt --version          show the version
  MT_DEBUG=1 mt ...     show the traceback of an error"""


def complete(argv: list[str]) -> int:
    """Complete `mt ...` in a shell: verbs here, settings of `mt train` by Hydra.

    Hydra's script calls `mt -sc query=SHELL` with the line typed so far in COMP_LINE. Hydra itself has no verbs.
    """
    line = os.environ.get("COMP_LINE", "")
    program, _, rest = line.partition(" ")
    verb, space, typed = rest.lstrip().partition(" ")
    if not space:
        print(" ".join(VERBS))
        return 0
    if verb != "train":
        return 0
    os.environ["COMP_LINE"] = f"{program} {typed}"
    return run_verb("train", ["-sc", *argv])


def say(line: str, error: Exception, *, hint: str = "") -> None:
    """Print a line on stderr, and below it the hint if there is one; with MT_DEBUG=1 after the traceback."""
    with contextlib.suppress(OSError):  # a full disk under stderr does not change the exit code
        if os.environ.get("MT_DEBUG") == "1":
            traceback.print_exception(error)
        print("\n\n".join([readable(line), *([f"hint: {readable(hint)}"] if hint else [])]), file=sys.stderr)


def flush_or_silence(stream: TextIO | None) -> bool:
    """Flush a stream, if there is one; silence it when its disk is full, so that the flush at exit cannot fail.

    Returns: false when its disk is full.
    """
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        silence(stream)
        return False
    return True


def silence(stream: TextIO | None) -> None:
    """Redirect a stream whose reader is gone to the null device, so that Python's flush at exit does not fail."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
