"""Programs that measure: `python -m tests.benchmarks.NAME`. Their figures live in the docs."""
