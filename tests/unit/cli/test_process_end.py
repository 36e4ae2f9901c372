"""How the process of a command ends: without taking Python apart, and with nothing lost."""

import pstats
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from mt.cli.main import end_process, is_watched


def ended(work: str) -> subprocess.CompletedProcess[str]:
    """A process whose command is `work`, the body of a function."""
    body = textwrap.indent(textwrap.dedent(work), "    ")
    code = f"from mt.cli import main as module\ndef work():\n{body}\nmodule.main = work\nmodule.run_process()\n"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)


def test_threads_and_what_is_registered_for_the_end_are_waited_for():
    done = ended("""
        import atexit, sys, threading, time
        atexit.register(print, "registered")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        sys.stdout.write("not flushed, ")
        return 7
    """)
    assert (done.returncode, done.stdout, done.stderr) == (7, "not flushed, thread\nregistered\n", "")


def test_a_thread_inside_torch_does_not_abort_a_process_that_has_ended_well():
    done = ended("""
        import threading, torch
        def busy():
            while True:
                torch.ones(1 << 22).sum()
        for _ in range(3):
            threading.Thread(target=busy, daemon=True).start()
        torch.ones(1 << 24).sum()
        return 0
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_at_the_end_does_not_change_the_exit_code():
    done = ended("""
        import sys
        sys.stdout = open("/dev/full", "w")
        print("lost")
        return 3
    """)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_profiler_gets_to_write_its_profile(tmp_path):
    file = tmp_path / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", file, "-m", "mt", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0 and done.stdout.startswith("mt ")
    assert pstats.Stats(str(file)).get_stats_profile().func_profiles["main"].ncalls == "1"


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_tool_of_python_3_12_is_not_cut_off(monkeypatch, number):
    for name in ("gettrace", "getprofile"):
        monkeypatch.setattr(sys, name, lambda: None)
    tools = dict.fromkeys(range(6))
    monkeypatch.setattr(sys, "monitoring", SimpleNamespace(get_tool=tools.get), raising=False)
    assert not is_watched()
    tools[number] = "coverage.py"
    with pytest.raises(SystemExit) as leaving:
        end_process(3)
    assert leaving.value.code == 3


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("verb", "number", "code"),
    [("clean", "SIGTERM", 143), ("export", "SIGHUP", 129), ("train", "SIGTERM", -15)],
)
def test_a_signal_ends_a_verb_without_leftovers(verb, number, code, tmp_path, without_nohup):
    work = textwrap.dedent(f"""
        import os, signal, sys, time
        from pathlib import Path
        from mt.cli import main as module
        from mt.files import whole_folder
        def dispatch(argv):
            with whole_folder(Path("out")) as folder:
                (folder / "half").write_text("written")
                os.kill(os.getpid(), signal.{number})
                time.sleep(600)
        module.dispatch = dispatch
        sys.argv = ["mt", "{verb}"]
        module.run_process()
    """)
    done = subprocess.run(
        [sys.executable, "-c", work], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert bool(list(tmp_path.iterdir())) == (verb == "train")  # which says itself what is to be saved, or is killed
