"""Containers of Markdown: `:::note` with its `:::` (Docusaurus, VitePress, pandoc, MyST), and `!!! note` with an
indented text (MkDocs). Their marks stay, their titles and texts are translated.
"""

import re
from typing import Any

# After a name in braces stands a file as often as a title.
FENCE = re.compile(
    r":{3,}[ \t]*(?:$|\{.*|[\w-]+[ \t]*(?:$|\{.*|\[(?P<label>[^\]]*)\][ \t]*$|\[.*|(?<=[ \t])(?P<title>[^{]+).*))"
)
INDENTED = re.compile(r'(?:!!!|\?\?\?\+?|===[!+]?)(?:[ \t]+[\w-]+)*(?:[ \t]+"(?P<title>[^"]*)")?[ \t]*$')
INDENT = 4  # of the text of an indented container
ENDS = ["paragraph", "reference", "blockquote", "list"]  # what a container ends


def add_containers(parser: Any) -> None:
    """Args: parser: of markdown-it, which gets rules for containers."""
    for name, rule in (("fenced", _fenced), ("indented", _indented)):
        parser.block.ruler.before("fence", name, rule, {"alt": ENDS})


def _fenced(state: Any, line: int, last: int, silent: bool) -> bool:
    """The first or the last line of a container: what stands between them is read as if they were not there."""
    found = _matched(FENCE, state, line)
    if found is None:
        return False
    if not silent:
        _add_title(state, "title", line, found["label"] or found["title"] or "")
        state.line = line + 1
    return True


def _indented(state: Any, line: int, last: int, silent: bool) -> bool:
    """A container whose text is indented, which belongs to it as to an item of a list."""
    found, indent = _matched(INDENTED, state, line), state.sCount[line] + INDENT
    first = next((n for n in range(line + 1, last) if not state.isEmpty(n)), last)
    if found is None or first == last or state.sCount[first] < indent:
        return False
    if silent:
        return True
    state.push("container_open", "", 1).map = [line, last]
    _add_title(state, "quoted", line, found["title"] or "")
    before, state.blkIndent = state.blkIndent, indent
    state.md.block.tokenize(state, line + 1, last)
    state.blkIndent = before
    state.push("container_close", "", -1)
    return True


def _matched(pattern: re.Pattern[str], state: Any, line: int) -> re.Match[str] | None:
    if state.is_code_block(line):
        return None
    return pattern.match(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])


def _add_title(state: Any, kind: str, line: int, title: str) -> None:
    if title.strip():
        state.push(f"{kind}_open", "", 1)
        token = state.push("inline", "", 0)
        token.content, token.map, token.children = title.strip(), [line, line + 1], []
        state.push(f"{kind}_close", "", -1)
