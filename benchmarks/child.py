"""One side of a comparison, as a process: reads calls from stdin, answers on stdout.

python -m benchmarks.child benchmarks.module:Class '{"keyword": "argument"}'
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import import_module

from benchmarks.children import Sample


def main() -> None:
    """Serve one side until stdin ends."""
    module, _, name = sys.argv[1].partition(":")
    make_side = getattr(import_module(module), name)
    with make_side(**json.loads(sys.argv[2])) as side:
        for line in sys.stdin:
            method, arguments = json.loads(line)
            answer = getattr(side, method)(**arguments)
            told = asdict(answer) if isinstance(answer, Sample) else answer
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
