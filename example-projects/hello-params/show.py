"""Print what the command was given: its words, the parameters file, and how much of a secret came."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    words = sys.argv[1:]
    parameters = json.loads(Path(os.environ["MLPROJ_PARAMS"]).read_text(encoding="utf-8"))
    print("words:", json.dumps(words, ensure_ascii=False))
    print("parameters:", json.dumps(parameters, ensure_ascii=False))
    if "template" in parameters:
        template = Path(parameters["template"]).read_text(encoding="utf-8").strip()
        greeting = template.format(name=parameters["name"])
        print("\n".join([greeting.upper() if parameters["loud"] else greeting] * parameters["count"]))
    token = os.environ.get("HELLO_TOKEN")
    print("token:", "none" if token is None else f"{len(token)} characters")


if __name__ == "__main__":
    main()
