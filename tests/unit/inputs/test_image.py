"""Images: which pictures a cell names, what becomes of their pixels, and what is refused."""

import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from mt.config import Input, InputKind
from mt.errors import ConfigError, DataError
from mt.inputs.image import Images, patches, pixels
from mt.inputs.reader import InputReader, described, fit, located

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def image(side: int = 4, patch: int = 2, **more) -> Input:
    return Input(column="photo", kind=InputKind.image, side=side, patch=patch, **more)


@pytest.fixture
def picture(tmp_path) -> str:
    """Four quarters of 8 pixels: red, blue over white, black."""
    drawn = Image.new("RGB", (16, 16), WHITE)
    drawn.paste(RED, (0, 0, 8, 8))
    drawn.paste(BLUE, (8, 0, 16, 8))
    drawn.paste(BLACK, (8, 8, 16, 16))
    drawn.save(tmp_path / "quarters.png")
    return str(tmp_path / "quarters.png")


def test_a_picture_is_its_patches_in_reading_order_from_black_to_white(picture):
    rows = Images(image(16, 8)).read(picture)
    assert rows.shape == (4, 8 * 8 * 3)
    colours = [row.unflatten(0, (64, 3)).unique(dim=0).tolist() for row in rows]
    assert colours == [[[1, -1, -1]], [[-1, -1, 1]], [[1, 1, 1]], [[-1, -1, -1]]]


def test_a_patch_has_its_pixels_by_row_column_and_colour():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    found = (patches(image, 2) + 1) * 127.5
    for number, (top, left) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        assert np.allclose(found[number], image[top : top + 2, left : left + 2].reshape(-1), atol=1e-4)


@pytest.mark.parametrize("suffix", ["webp", "gif", "bmp", "tiff", "ppm", "jpg"])
def test_formats_sizes_and_shapes_do_not_matter(suffix, tmp_path):
    Image.new("RGB", (30, 11), RED).save(tmp_path / f"a.{suffix}")
    found = pixels(str(tmp_path / f"a.{suffix}"), 4)
    assert found.shape == (4, 4, 3) and np.abs(found.astype(int) - RED).max() <= 2


def test_what_is_transparent_is_white_and_gray_is_gray(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (pixels(str(tmp_path / "clear.png"), 4) == 255).all()
    Image.new("RGBA", (4, 4), (0, 0, 0, 51)).save(tmp_path / "fifth.png")
    assert (pixels(str(tmp_path / "fifth.png"), 4) == 204).all()
    Image.new("P", (4, 4), 0).save(tmp_path / "palette.png", transparency=0)
    assert (pixels(str(tmp_path / "palette.png"), 4) == 255).all()
    Image.new("L", (4, 4), 77).save(tmp_path / "gray.png")
    assert (pixels(str(tmp_path / "gray.png"), 4) == 77).all()
    Image.fromarray(np.full((4, 4), 77 * 256 + 9, np.uint16)).save(tmp_path / "deep.png")
    assert (pixels(str(tmp_path / "deep.png"), 4) == 77).all()


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    drawn = Image.new("RGB", (8, 8), WHITE)
    drawn.paste(BLACK, (0, 0, 8, 4))  # above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what was above is now on the right
    drawn.save(tmp_path / "turned.png", exif=exif)
    found = pixels(str(tmp_path / "turned.png"), 8)
    assert (found[:, 4:] == 0).all() and (found[:, :4] == 255).all()


def test_a_member_of_an_archive_is_read_and_is_the_same_as_a_file(picture, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(picture, "a/ä b.png")
    read = Images(image(16, 8)).read
    assert read(f"{tmp_path}/photos.zip:a/ä b.png").equal(read(picture))
    assert located(InputKind.image, "photos.zip:a/ä b.png", str(tmp_path)) == f"{tmp_path}/photos.zip:a/ä b.png"


@pytest.mark.parametrize(
    "member", ["a//b.png", "a:b.png", "C:a.png", "./a.png", "x.zip:a/b.png", "a/", "ä b:.png", ":"]
)
def test_the_first_zip_divides_and_a_member_has_the_name_that_the_archive_gives_it(member, picture, tmp_path):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/photos.ZIP", "w") as archive:
        archive.write(picture, "a.png")
        archive.writestr(zipfile.ZipInfo(member), (tmp_path / "quarters.png").read_bytes())
    cell = located(InputKind.image, f"in//photos.ZIP:{member}", str(tmp_path))
    assert cell == f"{tmp_path}/in/photos.ZIP:{member}"
    assert Images(image(16, 8)).read(cell).equal(Images(image(16, 8)).read(picture))


def test_size_and_scale_are_those_of_the_training_pictures(picture):
    (found,) = fit([image(16, 8)], [picture, ""], ["a:1", "a:2"])
    assert found == image(16, 8, size=192)  # every number is -1 or 1
    assert described(found) == "image, a grid of 2 x 2 patches, 192 numbers a row, scale 1"
    assert InputReader([found], lambda texts: []).item("").tolist() == [[0] * 192]


def bomb(folder) -> str:
    """A picture with more pixels than Pillow reads, in a file of a few kilobytes."""
    Image.new("1", (20_000, 10_000)).save(folder / "bomb.png")
    return f"{folder}/bomb.png"


def archived(folder, **flags) -> str:
    """An archive with a picture, whose directory says what `flags` give."""
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("a.png", b"not a picture")
        archive.writestr("../up.png", b"")
    data = bytearray((folder / "photos.zip").read_bytes())
    entry = data.index(b"PK\1\2")
    if "flag" in flags:
        data[entry + 8] |= flags["flag"]
    if "size" in flags:
        data[entry + 24 : entry + 28] = flags["size"].to_bytes(4, "little")
    if "sum" in flags:
        data[entry + 16] ^= 1
    (folder / "photos.zip").write_bytes(data)
    return f"{folder}/photos.zip"


def cut_short(folder, suffix: str) -> str:
    drawn = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))
    drawn.save(folder / f"whole.{suffix}")
    data = (folder / f"whole.{suffix}").read_bytes()
    (folder / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
    return f"{folder}/cut.{suffix}"


def float_picture(folder) -> str:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(folder / "deep.tiff")
    return f"{folder}/deep.tiff"


def text_file(folder, name: str) -> str:
    (folder / name).write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n")
    return f"{folder}/{name}"


REFUSED = {
    "missing": (lambda folder: f"{folder}/no.png", r"no\.png cannot be read: No such file or directory$"),
    "a folder": (lambda folder: f"{folder}", r" cannot be read: Is a directory$"),
    "a zero byte": (lambda folder: "a\0.png", r"^'a\\x00\.png' is not the name of a file$"),
    "text": (lambda folder: text_file(folder, "a.png"), r"a\.png is not a picture that can be read \(PNG, JPEG, WEBP"),
    "PostScript": (lambda folder: text_file(folder, "a.eps"), r"a\.eps is not a picture that can be read \(PNG, "),
    "half a PNG": (lambda folder: cut_short(folder, "png"), r"cut\.png cannot be read as a picture \(image file is "),
    "half a WebP": (lambda folder: cut_short(folder, "webp"), r"cut\.webp cannot be read as a picture \("),
    "a bomb": (bomb, r"bomb\.png has more than 89,478,485 pixels hint: make it smaller\.$"),
    "floats": (float_picture, r"deep\.tiff has pixels of 32 bits hint: save it with 8 bits "),
    "no archive": (lambda folder: f"{folder}/no.zip:a.png", r"no\.zip cannot be read: No such file or directory$"),
    "not an archive": (lambda folder: text_file(folder, "a.zip") + ":a.png", r"a\.zip is not a zip archive, or damag"),
    "no member": (lambda folder: archived(folder) + ":b.png", r"photos\.zip has no member 'b\.png'$"),
    "outside": (
        lambda folder: archived(folder) + ":../up.png",
        r"must name a member inside the archive, without `\.\.",
    ),
    "an archive": (
        lambda folder: archived(folder),
        r"photos\.zip is an archive, but must name a member of it hint: wri",
    ),
    "a colon and no more": (
        lambda folder: archived(folder) + ":",
        r"photos\.zip: is an archive, but must name a member of it hint: write `\S+/photos\.zip:MEMBER`\.$",
    ),
    "a drive": (lambda folder: archived(folder) + ":C:/a.png", r"C:/a\.png must name a member inside the archive"),
    "from the root": (lambda folder: archived(folder) + ":/a.png", r":/a\.png must name a member inside the archive"),
    "encrypted": (
        lambda folder: archived(folder, flag=1) + ":a.png",
        r"a\.png is encrypted hint: pack it again without ",
    ),
    "a zip bomb": (
        lambda folder: archived(folder, size=1 << 30) + ":a.png",
        r"a\.png would unpack to 1,073,741,824 by",
    ),
    "damaged": (lambda folder: archived(folder, sum=1) + ":a.png", r"a\.png is damaged \(Bad CRC-32 for file 'a\.png'"),
    "no picture": (lambda folder: archived(folder) + ":a.png", r"photos\.zip:a\.png is not a picture that can be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_picture_is_refused_in_one_sentence(case, tmp_path):
    make, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        Images(image()).read(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_member_that_is_larger_than_it_says_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(32 << 20))
    raw = bytearray((tmp_path / "photos.zip").read_bytes())
    for place in (raw.index(b"PK\3\4") + 22, raw.index(b"PK\1\2") + 24):  # its size, as the two headers tell it
        assert struct.unpack_from("<I", raw, place) == (32 << 20,)
        struct.pack_into("<I", raw, place, 100)
    (tmp_path / "photos.zip").write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"photos\.zip:a\.png is damaged \(Bad CRC-32 for file 'a\.png'\)$"):
        Images(image()).read(f"{tmp_path}/photos.zip:a.png")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 << 20


def test_a_picture_of_which_pillow_only_warns_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # it raises from twice as many
    Image.new("RGB", (10, 10)).save(tmp_path / "most.png")
    Image.new("RGB", (11, 10)).save(tmp_path / "more.png")
    assert pixels(f"{tmp_path}/most.png", 4).shape == (4, 4, 3)
    with pytest.raises(DataError, match=r"more\.png has more than 100 pixels hint: make it smaller\.$"):
        pixels(f"{tmp_path}/more.png", 4)


def test_the_row_and_the_column_are_named(tmp_path):
    with pytest.raises(
        DataError, match=r"^t\.tsv:7: column `photo`: /nowhere/a\.png cannot be read: No such file or d"
    ):
        fit([image()], ["/nowhere/a.png"], ["t.tsv:7"])


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("mt.errors.find_spec", lambda name: None)
    told = "column `photo` with images needs the package `pillow`. hint: install it with `pip install pillow`."
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}$"):
        Images(image())


def test_a_member_of_another_compression_that_is_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", bytes(range(256)) * 9)
    raw = bytearray((tmp_path / "photos.zip").read_bytes())
    raw[80:90] = bytes(10)
    (tmp_path / "photos.zip").write_bytes(raw)
    with pytest.raises(DataError, match=r"photos\.zip:a\.png is damaged \(Corrupt input data\)$"):
        Images(image()).read(f"{tmp_path}/photos.zip:a.png")


def test_an_archive_that_was_replaced_is_opened_again_also_in_another_current_folder(tmp_path, monkeypatch):
    for folder, colour in (("first", RED), ("second", BLUE)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4), colour).save(tmp_path / folder / "a.png")
        with zipfile.ZipFile(tmp_path / folder / "photos.zip", "w") as archive:
            archive.write(tmp_path / folder / "a.png", "a.png")
        monkeypatch.chdir(tmp_path / folder)
        assert pixels("photos.zip:a.png", 1).tolist() == [[list(colour)]]
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write(tmp_path / "first" / "a.png", "b.png")
    assert pixels("photos.zip:b.png", 1).tolist() == [[list(RED)]]
    with pytest.raises(DataError, match=r"^photos\.zip has no member 'a\.png'$"):
        pixels("photos.zip:a.png", 1)
