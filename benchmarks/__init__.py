"""Side-by-side benchmarks of this package and its alternatives, all in one run on one machine.

``python -m benchmarks`` or tools/benchmark.py starts them. commands/ has a module for each subcommand, models/ the
models that are compared. rounds.py alternates the candidates, each in its own process; report.py prints the results.
"""
