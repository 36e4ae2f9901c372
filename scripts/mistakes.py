"""How a script ends that cannot read or use what was typed: with one sentence, as the commands of mt."""

import sys
from collections.abc import Callable
from pathlib import Path

from mt.errors import MtError
from mt.files import in_words


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script and end the process with its exit code; 2 for an error that a user can repair."""
    try:
        sys.exit(main())
    except (MtError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {in_words(error)}", file=sys.stderr)
        sys.exit(2)
