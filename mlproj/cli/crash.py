"""What a user sees of a bug in mlproj: one line, and the name of a file that holds the traceback."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from pathlib import Path

from mlproj.execution.masking import mask_text
from mlproj.files import write_atomically
from mlproj.locations import cache_folder
from mlproj.text import one_line
from mlproj.version import __version__

_SECRET_NAME = re.compile(r"(?i)(secret|token|passw|key|credential|auth)")


def write_crash_report(error: BaseException) -> tuple[str, str]:
    """Write the traceback of an unexpected error to a file; gives the message for the user, and a hint.

    Values given with -P and those of variables whose names sound of secrets are masked in it.
    """
    text = f"mlproj {__version__}, Python {sys.version}\n\n" + "".join(traceback.format_exception(error))
    secrets = [*_suspects(), *getattr(error, "mlproj_secrets", ())]
    masked = mask_text(text, secrets)
    name = f"crash-{os.getpid()}.txt"
    path = cache_folder() / "crashes" / name
    try:
        write_atomically(path, masked, mode=0o600)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="mlproj-")) / name
        path.write_text(masked)
    kind = f"{type(error).__name__}: {one_line(mask_text(str(error), secrets))}"
    return (
        f"this is a bug in mlproj ({kind[:300]})",
        f"The traceback is in {one_line(path)}; please report it.",
    )


def _suspects() -> list[str]:
    given = [argument.partition("=")[2] for argument in sys.argv if "=" in argument]
    return [*given, *(value for name, value in os.environ.items() if _SECRET_NAME.search(name))]
