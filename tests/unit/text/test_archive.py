"""What an archive may hold, and what is refused: bombs, names that lead out, links, lies; nothing is unpacked."""

import io
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt.errors import DataError
from mt.text.archive import read_member

GOOD = {"a/pairs.tsv": b"one\teins\n" * 50, "LICENSE": b"free"}


@pytest.fixture
def pack(tmp_path: Path):
    def pack(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
        with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
            for name, raw in members:
                if isinstance(name, zipfile.ZipInfo):
                    archive.writestr(name, raw)
                else:
                    info = zipfile.ZipInfo()
                    info.filename, info.compress_type = name, method  # as given: the constructor would mend it
                    archive.writestr(info, raw)
        return tmp_path / "x.zip"

    return pack


def test_what_is_asked_for_comes(pack):
    path = pack(*GOOD.items())
    assert {name: read_member(path, name, len(content)) for name, content in GOOD.items()} == GOOD


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        (("../canary", b"x"), r"contains the unsafe name '\.\./canary'"),
        (("a/../../canary", b"x"), "contains the unsafe name"),
        (("/tmp/canary", b"x"), "contains the unsafe name"),
        (("..\\canary", b"x"), "contains the unsafe name"),
        (("C:canary", b"x"), "contains the unsafe name"),
        (("a\nb", b"x"), "contains the unsafe name"),
        ((link(), b"/etc/passwd"), "contains a link, 'link', but only plain files are allowed"),
        (("LICENSE", b"x"), "contains two files of the name 'LICENSE'"),
        (("license", b"x"), "contains two files of the name 'license'"),
    ],
)
def test_members_that_no_honest_archive_has(pack, tmp_path, monkeypatch, member, sentence):
    (tmp_path / "inside").mkdir()
    path = pack(*GOOD.items(), member)
    monkeypatch.chdir(tmp_path / "inside")
    with pytest.raises(DataError, match=rf"^`{path}` .*{sentence}"):
        read_member(path, "LICENSE", 10)
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["inside", "x.zip"]


def test_a_bomb_takes_no_memory(pack):
    path = pack(("a.tsv", bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x.zip`: a.tsv grows more than 200-fold when unpacked, as no text does\."):
            read_member(path, "a.tsv", 1 << 30)
        with pytest.raises(DataError, match=r"a.tsv must have at most 1,000 bytes, but has 67,108,864\."):
            read_member(path, "a.tsv", 1000)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_member_that_lies_about_its_size(pack):
    path = pack(("a.tsv", bytes(1 << 20)))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<L", 1 << 20), struct.pack("<L", 100)))
    with pytest.raises(DataError, match=r"cannot be read as a zip archive: Bad CRC-32|unpacks to more"):
        read_member(path, "a.tsv", 1 << 30)


def test_too_many_members(pack):
    path = pack(*((str(n), b"") for n in range(10_001)))
    with pytest.raises(DataError, match=r"x.zip` must have at most 10,000 members, but has 10,001\."):
        read_member(path, "0", 1)


def test_a_member_that_is_not_there(pack):
    with pytest.raises(DataError, match=r"x.zip` must contain b.tsv, but does not\."):
        read_member(pack(*GOOD.items()), "b.tsv", 9)


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"not a zip", b"PK\x05\x06" + bytes(18) + b"xx"])
def test_what_is_no_archive(tmp_path, raw):
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(DataError, match=r"/x` (cannot be read as a zip archive: |must contain a)"):
        read_member(tmp_path / "x", "a", 9)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
)
def test_damage_is_an_error_or_the_same_bytes(tmp_path_factory, changes, method):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, text in GOOD.items():
            archive.writestr(name, text)
    raw = bytearray(made.getvalue())
    for place, value in changes:
        raw[place % len(raw)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(raw)
    try:
        found = read_member(path, "a/pairs.tsv", 1000)
    except DataError:
        return
    assert found == GOOD["a/pairs.tsv"]
