"""A file that is written whole, in the place of another one."""

import os
import threading
from pathlib import Path

import pytest

from mt.files import clean_up, whole_folder, write_file, write_output


def test_a_link_and_the_permissions_of_its_file_stay(tmp_path):
    (tmp_path / "secret").write_bytes(b"old")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "link").symlink_to("secret")
    write_output(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "secret").read_bytes() == b"new"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "secret"]


def test_a_link_in_a_run_leads_nowhere(tmp_path):
    (tmp_path / "mine").write_bytes(b"old")
    (tmp_path / "test.json").symlink_to("mine")
    write_file(tmp_path / "test.json", b"new")
    assert (tmp_path / "mine").read_bytes() == b"old" and (tmp_path / "test.json").read_bytes() == b"new"
    assert not (tmp_path / "test.json").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    write_output(tmp_path / "pipe", b"new")
    reader.join(60)
    assert got == [b"new"] and (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs names of open files")
def test_a_pipe_without_a_name_is_written_to():
    reading, writing = os.pipe()  # as `/dev/stdout` before `|`, and `>(command)`
    write_output(Path(f"/dev/fd/{writing}"), b"new")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"new"


def test_a_file_in_a_folder_that_permits_no_new_one_is_written_in_place(tmp_path, monkeypatch):
    (tmp_path / "mine").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    monkeypatch.setattr("mt.files.write_file", lambda *_: pytest.fail("a file beside it"))
    write_output(tmp_path / "mine", b"new")
    assert (tmp_path / "mine").read_bytes() == b"new"


def test_a_folder_replaces_a_link_of_its_name_and_leaves_nothing_of_it(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine").write_text("mine")
    (tmp_path / "model").symlink_to("elsewhere")
    with whole_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "model"]
    assert not (tmp_path / "model").is_symlink() and (tmp_path / "elsewhere/mine").read_text() == "mine"
    (tmp_path / ".trash-model-1").symlink_to("elsewhere")  # of a killed process
    clean_up(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "model"]
    assert (tmp_path / "elsewhere/mine").read_text() == "mine"
