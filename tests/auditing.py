"""Reads what a stranger may send and prints, as JSON, every audit event that Python raised meanwhile.

    python tests/auditing.py FOLDER cold|warm

FOLDER holds model files (.safetensors), data (.npz, .csv, folders of IDX files), pictures (.png, .npy) and a list of
text expressions (expressions.json). `warm` reads everything once before it listens, so that no module is imported
late: then not one import is allowed. `cold` listens from the start.
"""

import json
import sys
from collections import Counter
from pathlib import Path

HEARD: list[tuple[str, str]] = []


def listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        event = "open to write" if flags & 0o1103 else "open to read"  # write, create, truncate, append
        HEARD.append((event, str(path)))
    elif event == "import":
        HEARD.append((event, str(arguments[0])))
    elif event == "compile":
        HEARD.append((event, str(arguments[1])))
    else:
        HEARD.append((event, repr(arguments)[:200]))


def read(folder: Path) -> Counter[str]:
    """How each thing in the folder ended."""
    import symgrad as sg
    from symgrad import data
    from symgrad.expression import parse
    from symgrad.training import saved

    def tried(action, *arguments):
        try:
            action(*arguments)
        except sg.SymgradError as problem:
            return type(problem).__name__
        return "read"

    ended: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors":
            ended[f"model {tried(saved.load_progress, path)}"] += 1
        elif path.suffix in (".npz", ".csv") or path.is_dir():
            ended[f"data {tried(data.load, path)}"] += 1
        elif path.suffix in (".png", ".npy"):
            ended[f"picture {tried(data.image, path)}"] += 1
    names = {"x": sg.variable("x", ("N", 3)), "w": sg.parameter("w", (3, 2))}
    parse.syntax.cache_clear()
    for text in json.loads((folder / "expressions.json").read_text()):
        ended[f"expression {tried(sg.parse, text, names)}"] += 1
    return ended


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if sys.argv[2] == "warm":
        read(folder)
    sys.addaudithook(listen)
    ended = read(folder)
    heard, HEARD = HEARD, []
    print(json.dumps({"ended": ended, "heard": heard}))
