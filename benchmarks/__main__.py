"""``python -m benchmarks`` is ``python -m benchmarks.table``."""

from benchmarks.table import main

main()
