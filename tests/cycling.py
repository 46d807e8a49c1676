"""Models are loaded, trained and let go, again and again: how much memory the process holds on to.

    python tests/cycling.py 1000 loading       # load a checkpoint, train an epoch, free: on a kernel from the cache
    python tests/cycling.py 50 compiling       # compile a new kernel each time: what Numba keeps of each

Prints one JSON object: megabytes after a tenth of the cycles (at least 20) and at the end.
"""

import gc
import json
import sys
import tempfile
from pathlib import Path

from killing import compiled, network, rows

import symgrad as sg


def megabytes():
    """What the process really holds in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def load_train_free(path, data):
    model = sg.load(path)
    model.threads = 2
    model.fit(*data, epochs=1)
    assert model.steps.machine.cached


if __name__ == "__main__":
    count, what = int(sys.argv[1]), sys.argv[2]
    path, data = Path(tempfile.mkdtemp()) / "m.safetensors", rows(60)
    first = network(7)
    first.fit(*data, epochs=1)
    first.save(path)
    settled = max(20, count // 10) if what == "loading" else 5
    for number in range(count):
        if number == settled:
            before = megabytes()
        if what == "loading":
            load_train_free(path, data)
        else:
            assert compiled(number)[1]
    after = megabytes()
    print(json.dumps({"before": before, "after": after, "growth": after / before - 1, "each": (after - before) / (count - settled)}))
