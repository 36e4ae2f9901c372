"""What `import mt` gives: a version and a way to load a model, and nothing heavy."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import mt

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_that_of_the_installed_package(monkeypatch, capsys):
    from mt.cli.main import main

    monkeypatch.setattr("importlib.metadata.version", lambda name: {"mt-trainer": "1.2.3"}[name])
    assert mt.__version__ == "1.2.3"
    assert main(["--version"]) == 0 and capsys.readouterr().out == "mt 1.2.3\n"


def test_a_checkout_that_is_not_installed_has_a_version_too(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert mt.__version__ == "0+unknown"


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match=r"^module 'mt' has no attribute 'laod'$"):
        mt.laod  # noqa: B018
    assert set(mt.__all__) == {"__version__", "load"}


def test_the_version_is_known_without_torch():
    code = "import sys, mt; mt.__version__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
