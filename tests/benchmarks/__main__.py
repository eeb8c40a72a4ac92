"""Run every benchmark: python -m tests.benchmarks."""

from tests.benchmarks.bench_collect import test_bench_collect
from tests.benchmarks.bench_fit import test_bench_fit

test_bench_fit()
test_bench_collect()
