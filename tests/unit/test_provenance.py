"""What is written down of the machine, the packages and the checkout."""

import json
import os
import re
import subprocess

from mt import provenance as module
from mt.provenance import machine


def test_what_this_machine_is_can_be_written_as_json():
    assert json.loads(json.dumps(machine())).keys() == {"python", "packages", "system", "cpus", "gpu", "git"}


def test_only_a_checkout_of_mt_itself_tells_its_revision(tmp_path, monkeypatch):
    def git(*words):
        name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        return subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    def told(root):
        monkeypatch.setattr(module, "__file__", str(root / "mt" / "provenance.py"))
        return machine()["git"]

    inner = tmp_path / "venv" / "site-packages"
    for root in (tmp_path, inner):
        (root / "mt").mkdir(parents=True)
        (root / "mt" / "provenance.py").touch()
    git("init", "--quiet")
    assert told(tmp_path) is None  # there is no commit
    git("add", ".")
    git("commit", "--quiet", "--message", "x")
    head = git("rev-parse", "HEAD").strip()
    assert told(tmp_path) == head
    assert told(inner) is None
    (tmp_path / "new").touch()
    assert told(tmp_path) == f"{head}+"


def test_the_revision_is_read_without_a_lock_on_the_users_repository(tmp_path, monkeypatch):
    """A plain `git status` writes the index anew where the time of a file changed; killed, it leaves a lock."""
    source = tmp_path / "mt/provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("x\n")
    told = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*told, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    os.utime(source, (1e9, 1e9))
    index = (tmp_path / ".git/index").read_bytes()
    monkeypatch.setattr(module, "__file__", str(source))
    revision = module._git_revision()
    assert revision is not None and re.fullmatch("[0-9a-f]{40}", revision)
    assert (tmp_path / ".git/index").read_bytes() == index
    source.write_text("y\n")
    assert module._git_revision() == revision + "+"
