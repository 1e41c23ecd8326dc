#!/usr/bin/env bash
# What the tests reach: installs what it needs, builds without optimization and with gcov's counters, runs the suites and the
# oracles, and prints the coverage of each file of lib/. Fails where less than 92 % of the lines of lib/ are reached, or less than
# 90 % of the branches of what reads and writes files.
#
# A branch is a way out of a condition, as gcov sees it in code that is not optimized: each operand of && and || has two, and
# conditions in macros (QMDI_TRY) count wherever the macro stands. Not counted are only branches on lines without code of their own.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
least_lines=92
least_branches=90

# shellcheck source=cmake/dependencies.sh
. cmake/dependencies.sh
qmd_install_packages $qmd_build_packages check git python3 python3-venv locales gcovr

python=${QMD_TEST_PYTHON:-$root/build-venv/bin/python}
if [ ! -x "$python" ]; then
	python3 -m venv "$root/build-venv"
	"$python" -m pip install --quiet --disable-pip-version-check -r tests/oracle/requirements.txt ./examples/python
fi

cmake --preset coverage -DQMD_TEST_PYTHON="$python" >/dev/null
cmake --build --preset coverage
find build-coverage -name '*.gcda' -delete
# Left out is what builds a copy of its own, what only does again at full length what other tests do, and CUDA's kernels on the
# emulation, which are not lib/'s and take long without optimization.
left_out='package|runtime_only|api_reference|docs_test_guide|python_test_accuracy|test_cuda_(kernels|planted)'
left_out+='|oracle_test_cuda_program'
status=0
ctest --preset coverage -j "$(nproc)" -E "^($left_out)\$" || status=1

# What reads or writes a file, and what that is made of.
serializers='lib/(base/(bytes|container|file)|trajectory/(trajectory_file|amber_file|netcdf_check|xtc_.*|dcd_file|pdb|atom_map'
serializers+='|text|unit_cell|selection)|model/model_file|engine/engine_file|explain/explanation_file|train/checkpoint|pixels/pixels_(io|png)'
serializers+='|onnx/.*)\.[ch]$'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcovr --root . --filter 'lib/' --exclude-unreachable-branches -j "$(nproc)" --json "$work/all.json" build-coverage/lib

report() {
	gcovr --root . --add-tracefile "$work/all.json" "$@"
}
printf '\n== Lines of lib/\n'
report --fail-under-line $least_lines || status=1
printf '\n== Branches of what reads and writes files\n'
report --branches --filter "$serializers" --fail-under-branch $least_branches || status=1
if [ $status -ne 0 ]; then
	echo "coverage: expected tests that pass, $least_lines % of the lines and $least_branches % of the branches" >&2
fi
exit $status
