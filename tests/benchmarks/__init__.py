"""Benchmarks: ratios against peers, taken in one run; never part of the tests, whose machines are shared and noisy."""
