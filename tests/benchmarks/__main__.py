"""Run every benchmark: python -m tests.benchmarks. More than an hour; each can be run alone as a module."""

from tests.benchmarks.bench_attributions import test_bench_attributions
from tests.benchmarks.bench_class_graphs import test_bench_class_graphs
from tests.benchmarks.bench_collect import test_bench_collect
from tests.benchmarks.bench_coverage import test_bench_coverage
from tests.benchmarks.bench_effects import test_bench_effects
from tests.benchmarks.bench_equal_error import test_bench_equal_error
from tests.benchmarks.bench_false_discoveries import test_bench_false_discoveries
from tests.benchmarks.bench_fidelity import test_bench_fidelity
from tests.benchmarks.bench_fit import test_bench_fit
from tests.benchmarks.bench_ranking import test_bench_ranking
from tests.benchmarks.bench_total_effects import test_bench_total_effects
from tests.benchmarks.reproduce_narendra import test_reproduce_narendra

test_bench_fit()
test_bench_total_effects()
test_bench_collect()
test_bench_fidelity()
test_reproduce_narendra()
test_bench_effects()
test_bench_equal_error()
test_bench_coverage()
test_bench_false_discoveries()
test_bench_ranking()
test_bench_attributions()
test_bench_class_graphs()
