"""Whether documents that LibreOffice wrote are the same for LibreOffice after their text was replaced.

    python scripts/office_check.py        (needs `soffice`, for example of the package libreoffice-writer-nogui)

LibreOffice writes odt, docx, xlsx and pptx. Each gets its text in capital letters through `mt.documents`, is opened
by LibreOffice again, and is compared as HTML, CSV or flat XML with the original, case aside. Prints a line for each;
exit code 1 when one differs.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mistakes import run_script

from mt.documents.readers import translate_document

MARK = re.compile(r"<[^<>]*>|\{[^{}]*\}|&#?\w+;")
PAGE = """<html><head><meta charset="utf-8"></head><body><h1>Report of the <i>year</i></h1>
<p>The <b>first</b> paragraph has a <a href="https://example.org/x?y=1">link</a>, <u>lines</u> and
<span style="color:#ff0000">red words</span>.</p><ul><li>first item</li><li>second <em>item</em><ol><li>nested</li></ol>
</li></ul><table><tr><th>Name</th><th>Value</th></tr><tr><td>Apples &amp; pears</td><td>12.50</td></tr></table>
<p>A line<br>break, a&nbsp;space, <sub>sub</sub> and <sup>super</sup>.</p>
<p>Note<sup><a class="sdfootnoteanc" name="sdfootnote1anc" href="#sdfootnote1sym">1</a></sup>.</p><div id="sdfootnote1">
<p class="sdfootnote"><a class="sdfootnotesym" name="sdfootnote1sym" href="#sdfootnote1anc">1</a>The note.</p></div>
<p dir="rtl">\u0645\u0631\u062d\u0628\u0627</p></body></html>"""
SHEET = 'Name,Note,Value\nApples,"fresh, green",3\nPears,old,4.5\nTotal,sum of all,=C2+C3\n'
SPACES = "".join(
    f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{of}:1.0"'
    for name, of in (("office", "office"), ("text", "text"), ("draw", "drawing"), ("svg", "svg-compatible"))
)
BOX = '<draw:frame svg:width="20cm" svg:height="5cm"><draw:text-box>{}</draw:text-box></draw:frame>'
SLIDES = (
    f'<?xml version="1.0" encoding="UTF-8"?><office:document{SPACES} office:version="1.2" '
    'office:mimetype="application/vnd.oasis.opendocument.presentation"><office:body><office:presentation>'
    f"<draw:page>{BOX.format('<text:p>Title of the <text:span>slide</text:span></text:p><text:p>more</text:p>')}"
    f"</draw:page><draw:page>{BOX.format('<text:p>The end</text:p>')}</draw:page>"
    "</office:presentation></office:body></office:document>"
)
# format: how it is made, and what both versions are compared as
CHAINS = {
    "odt": (["in.html"], "html:HTML (StarWriter):EmbedImages"),
    "docx": (["in.html", "in.odt"], "html:HTML (StarWriter):EmbedImages"),
    "xlsx": (["in.csv"], "csv"),
    "pptx": (["in.fodp"], "fodp"),
}


def shout(texts: list[str]) -> list[str]:
    """Capital letters outside of marks."""
    found = []
    for text in texts:
        marks = [*MARK.findall(text), ""]
        found.append("".join(part.upper() + mark for part, mark in zip(MARK.split(text), marks, strict=True)))
    return found


def convert(file: Path, to: str, folder: Path) -> Path:
    options = ["--infilter=HTML (StarWriter)"] if file.suffix == ".html" else []
    home = f"-env:UserInstallation=file://{file.parent}/home"
    command = ["soffice", "--headless", home, *options, "--convert-to", to, "--outdir", str(folder), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / f"{file.stem}.{to.partition(':')[0]}"


def content(file: Path) -> str:
    """The body of a file, case aside."""
    text = file.read_text(encoding="utf-8")
    body = re.search(r"<(office:)?body.*", text, re.DOTALL)
    return " ".join((body[0] if body else text).casefold().split())


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if shutil.which("soffice") is None:
        sys.exit("soffice is not installed")
    different = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in {"in.html": PAGE, "in.csv": SHEET, "in.fodp": SLIDES}.items():
            (folder / file).write_text(text, encoding="utf-8")
        for suffix, (sources, shown) in CHAINS.items():
            original = convert(folder / sources[-1], suffix, folder)
            (folder / "loud").mkdir(exist_ok=True)
            loud = folder / "loud" / original.name
            loud.write_bytes(translate_document(original.read_bytes(), f".{suffix}", shout))
            (folder / "loud/home").mkdir(exist_ok=True)
            seen = [content(convert(file, shown, file.parent / f"shown-{suffix}")) for file in (original, loud)]
            same = seen[0] == seen[1] and loud.read_bytes() != original.read_bytes()
            different += not same
            print(
                f"{suffix}: {'the same but for case' if same else 'DIFFERENT'} ({len(seen[0]):,} characters compared)"
            )
    return int(different > 0)


if __name__ == "__main__":
    run_script(main)
