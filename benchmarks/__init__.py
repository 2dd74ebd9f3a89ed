"""Benchmarks: ratios measured side by side (``python -m benchmarks.table``), and asv suites."""
