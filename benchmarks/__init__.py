"""Benchmarks of this package against what else there is, in one run on one machine.

rounds.py runs contenders in turn; cases.py holds what comes out; table.py and plot.py show it. A module for each
subcommand of tools/benchmark.py says who contends: backbone.py, detector.py, train.py, features.py.
"""
