"""The inline marks of Markdown with their places in the source, and text written so that it is read back as it was.

markdown-it-py gives the tokens of a block in order, but no positions: they are found by going along the source.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from mt.documents.markdown_containers import add_containers
from mt.documents.parts import Kind, Part, add_part, text, without_line_ends
from mt.text.tags import UNQUOTED

SOFT_BREAK = re.compile(r"[ \t]*\n[ \t]*")
HARD_BREAK = re.compile(r"(?: {2,}|\\)\n[ \t]*")
SPECIAL = re.compile(r"[\\`*_\[\]<&~]")
DEEPEST = 100  # levels of quotes and lists, of which a list is two; the parser leaves out what is deeper
BREAK = re.compile(r"<br[\s/>]", re.I)  # a tag, not one of Markdown's own line breaks
LINES = re.compile(r"\s*\n\s*")
# What GitHub and pandoc write beyond CommonMark. A dollar sign before a digit is a price: pandoc's rule.
NOTE = re.compile(r"\[\^[^\s\]]+\]")
NOTE_TEXT = re.compile(rf"{NOTE.pattern}:[ \t]*")
TASK = re.compile(r"\[[ xX]\][ \t]+")
ALERT = re.compile(r"\[!\w+\][ \t]*\n")
FORMULA = re.compile(r"\$\$[^$]+\$\$|\$(?=\S)[^$\n]*(?<=[^\s\\])\$(?!\d)")
OF_LABELS = {"text", "text_special", *(f"{name}_{end}" for name in ("em", "strong", "s") for end in ("open", "close"))}
TAGS = {"*": "em", "**": "strong", "~~": "del"}
FIRST = {NOTE_TEXT: Kind.alone, TASK: Kind.alone, ALERT: Kind.line_break}  # in a block
ANYWHERE = {NOTE: Kind.alone, FORMULA: Kind.literal}


class Mark(NamedTuple):
    """The source of a mark, and its place in the content of its block."""

    source: str
    begin: int = 0
    label: tuple[int, int] | None = None  # the place of the text that stands for an image
    words: str = ""  # what is read of this text
    named: str = ""  # the end of a link whose text names its definition, with that name for another text


@cache
def parser() -> Any:
    """markdown-it with the rules of marks of unknown length noting where these end."""
    from markdown_it import MarkdownIt

    found = MarkdownIt("commonmark", {"maxNesting": DEEPEST}).enable(["table", "strikethrough"])
    found.core.ruler.disable("text_join")  # so that escapes and character references keep their source
    for name in ("link", "image", "backticks"):
        rule = next(one.fn for one in found.inline.ruler.__rules__ if one.name == name)
        found.inline.ruler.at(name, _noting_ends(rule))
    found.inline.ruler.before("link", "kept", _kept)
    rule = next(one.fn for one in found.block.ruler.__rules__ if one.name == "reference")
    found.block.ruler.at("reference", _but_no_note(rule))
    add_containers(found)
    found.block.ruler.before("paragraph", "note", _begins_note, {"alt": ["paragraph"]})
    return found


def _kept(state: Any, silent: bool) -> bool:
    """A rule of markdown-it for marks beyond CommonMark."""
    for pattern, kind in ({**FIRST, **ANYWHERE} if state.pos == 0 else ANYWHERE).items():
        if found := pattern.match(state.src, state.pos):
            if not silent:
                token = state.push("kept", "", 0)
                token.content, token.meta["kind"] = found[0], kind
            state.pos = found.end()
            return True
    return False


def _begins_note(state: Any, line: int, last: int, silent: bool) -> bool:
    """A rule of markdown-it: the text of a footnote ends a paragraph; it is read as one."""
    return silent and NOTE_TEXT.match(state.src, state.bMarks[line] + state.tShift[line]) is not None


def _but_no_note(rule: Callable[..., bool]) -> Callable[..., bool]:
    """The text of a footnote is no target of a link, also where it is one word."""

    def reference(state: Any, line: int, last: int, silent: bool) -> bool:
        return not _begins_note(state, line, last, silent=True) and rule(state, line, last, silent)

    return reference


def _noting_ends(rule: Callable[[Any, bool], bool]) -> Callable[[Any, bool], bool]:
    def noting(state: Any, silent: bool) -> bool:
        before = len(state.tokens)
        matched = rule(state, silent)
        if matched and not silent and len(state.tokens) > before:
            state.tokens[-1].meta["end"] = state.pos
        return matched

    return noting


def read_inline(content: str, tokens: Sequence[Any]) -> list[Part] | None:
    """The parts of a block's content, whose marks have a `Mark`; None where its tokens are not found in it."""
    parts, place, skipped = list[Part](), 0, 0
    links = list[int]()  # where their texts begin
    for token in tokens:
        if skipped:
            skipped -= 1
            continue
        part, end = _part(content, token, place)
        if part is None:
            return None
        if token.type == "link_open" and token.info == "auto":
            skipped = 2  # its text and its end
        elif token.type == "link_open":
            links.append(end)
        elif token.type == "link_close":
            begin = links.pop()
            if part.content.source in ("]", "][]"):
                named = f"][{LINES.sub(' ', content[begin:place])}]"
                part = Part(part.kind, part.content._replace(named=named))
        if part.content:
            add_part(parts, part)
        place = end
    joined = without_line_ends(parts, lambda part: part.content.source.startswith("<!--"))
    lines = [text(part.content.replace("\n", " ")) if part.kind is Kind.text else part for part in joined]
    return [part for part in lines if part.content] if place == len(content) else None


def _part(content: str, token: Any, place: int) -> tuple[Part | None, int]:
    """A token as a part, and where it ends; None where it does not stand at `place`."""
    match token.type:
        case "text" | "text_special":
            source = token.markup if token.type == "text_special" else token.content
            part = text(token.content)
        case "softbreak":
            found = SOFT_BREAK.match(content, place)
            source = found[0] if found else "\n"
            part = text("\n")
        case "hardbreak":
            found = HARD_BREAK.match(content, place)
            source = found[0] if found else "\n"
            part = Part(Kind.line_break, Mark("\\" if source[0] == "\\" else "  "))
        case "link_open" if token.info == "auto":
            source = content[place : content.find(">", place) + 1]
            part = Part(Kind.literal, Mark(source, place))
        case "link_open":
            source, part = "[", Part(Kind.opening, Mark("["))
        case "link_close" | "code_inline" | "image":
            source = content[place : token.meta["end"]]
            kinds = {"link_close": Kind.closing, "code_inline": Kind.literal, "image": Kind.alone}
            told = (token.children or []) if token.type == "image" else []
            read = token.content and all(one.type in OF_LABELS for one in told)
            read = told and read and source.removesuffix("[]") != f"![{token.content}]"  # the name of a definition
            label = (place + 2, place + 2 + len(token.content)) if read else None
            part = Part(kinds[token.type], Mark(source, place, label, "".join(one.content for one in told)))
        case "kept":
            source, kind = token.content, token.meta["kind"]
            part = Part(kind, Mark(source.strip() if kind is Kind.line_break else source, place))
        case "html_inline":
            source = token.content
            void = source.endswith("/>") and not UNQUOTED.search(source)
            alone = void or source.startswith(("<!", "<?")) or source.lower().startswith("<img")
            kind = Kind.alone if alone else Kind.closing if source.startswith("</") else Kind.opening
            kind = Kind.line_break if BREAK.match(source) else kind
            part = Part(kind, Mark(source, place))
        case _ if token.markup:
            source, kind = token.markup, Kind.closing if token.nesting < 0 else Kind.opening
            part = Part(kind, Mark(source))
        case _:
            return None, place
    return (part if content.startswith(source, place) else None), place + len(source)


def write_inline(
    parts: Sequence[Part], references: dict[str, Any], raw: Callable[[Mark], str], own: Mapping[int, str]
) -> str:
    """The source of parts. Signs of the text are escaped where they would be taken for marks.

    Args: references: the link definitions of the document; raw: gives the source of a mark; own: characters that the
    source wrote as references.
    """

    def plain(words: str) -> str:
        return words.translate(own)

    def escaped(words: str) -> str:
        return SPECIAL.sub(r"\\\g<0>", words).translate(own)

    def named(mark: Mark) -> str:
        return mark.named or raw(mark)

    def starred(mark: Mark) -> str:
        return named(mark).replace("_", "*") if set(mark.source) == {"_"} else named(mark)

    ways = ((plain, raw), (plain, named), (escaped, raw), (escaped, named), (escaped, starred))
    tried = [(_written(parts, *way), parts) for way in ways]
    tagged = [_tagged(part) for part in parts]
    tried.append((_written(tagged, escaped, named), tagged))
    return next((one for one, meant in tried if _outline(_read(one, references)) == _outline(meant)), tried[3][0])


def is_emphasis(part: Part) -> bool:
    return not part.content.source.strip("*_~")


def is_tight(part: Part) -> bool:
    """Whether a mark is of a link, or of an emphasis, which is none with a space at its inner ends."""
    return is_emphasis(part) or part.content.source[0] in "[]"


def _tagged(part: Part) -> Part:
    """The mark of an emphasis as a tag, which may stand where CommonMark takes no `*` for one: `(**a.**b` is text."""
    if part.kind not in (Kind.opening, Kind.closing) or not is_emphasis(part):
        return part
    name = TAGS[part.content.source.replace("_", "*")]
    return Part(part.kind, Mark(f"<{name}>" if part.kind is Kind.opening else f"</{name}>"))


def _written(parts: Sequence[Part], escape: Callable[[str], str], raw: Callable[[Mark], str]) -> str:
    found = list[str]()
    for part in parts:
        if part.kind is Kind.text:
            found.append(escape(part.content))
        elif part.kind is Kind.line_break:
            tag = BREAK.match(part.content.source)
            found.append(raw(part.content) if tag else f"{part.content.source}\n")
        else:
            found.append(LINES.sub(" ", raw(part.content)))
    return "".join(found)


def _read(source: str, references: dict[str, Any]) -> Sequence[Part]:
    tokens = parser().parseInline(source, {"references": references})[0].children or []
    return read_inline(source, tokens) or []


def _outline(parts: Sequence[Part]) -> list[tuple[Kind, str]]:
    """What two writings of the same text have in common: the words between the marks, and which marks these are."""
    found = list[tuple[Kind, str]]()
    for part in parts:
        if part.kind is not Kind.text:
            source = part.content.source
            found.append((part.kind, "*" * len(source) if set(source) == {"_"} else source[:1]))
        elif found and found[-1][0] is Kind.text:
            found[-1] = (Kind.text, found[-1][1] + part.content)
        else:
            found.append((Kind.text, part.content))
    return [(kind, " ".join(words.split()) if kind is Kind.text else words) for kind, words in found if words.strip()]
