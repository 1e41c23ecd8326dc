#!/usr/bin/env bash
# Every test: installs what the tests need, builds, and runs the suites in a release build and under AddressSanitizer and
# UndefinedBehaviorSanitizer, the oracles in Python, the installed package from outside the tree, and the linters.
# With --quick: the release build alone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
quick=0
[ "${1:-}" = "--quick" ] && quick=1

# shellcheck source=cmake/dependencies.sh
. cmake/dependencies.sh
qmd_install_packages $qmd_build_packages check git python3 python3-venv doxygen mandoc mpich libmpich-dev locales clang clang-format clang-tidy

say() {
	printf '\n== %s\n' "$*"
}

# What a green run did not look at.
say_skipped() {
	skipped=$(grep -h 'SKIPPED' "$1/Testing/Temporary/LastTest.log" | sort -u || true)
	[ -z "$skipped" ] || printf '%s\n' "$(printf '%s\n' "$skipped" | wc -l) parts were SKIPPED:" "$skipped"
}

say "Python packages for the oracles"
venv=$root/build-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/oracle/requirements.txt ./examples/python

say "Release build and tests"
cmake --preset release -DQMD_TEST_PYTHON="$venv/bin/python" >/dev/null
cmake --build --preset release
ctest --preset release -j "$(nproc)"
say_skipped build-release
[ $quick -eq 1 ] && exit 0

say "AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset asan -DQMD_TEST_PYTHON="$venv/bin/python" >/dev/null
cmake --build --preset asan
ctest --preset asan -j "$(nproc)"

say "ThreadSanitizer"
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target test_engine test_threads
ctest --preset tsan -R 'test_(engine|threads)$'

say "CUDA: every target by nvcc, and the SASS"
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -n "$nvcc" ]; then
	"$venv/bin/pip" install --quiet --disable-pip-version-check nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm
	cmake --preset cuda -DCMAKE_CUDA_COMPILER="$nvcc" -DQMD_BUILD_BENCH=OFF >/dev/null
	cmake --build --preset cuda --target lib/all examples/all
	tests/check_sass.py build-cuda/lib/libqmd.so "$(find "$venv" -name cuobjdump -type f | head -1)" \
		sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120
	build-cuda/examples/qmd --version
	if grep -q 'QMD_CUDNN_INCLUDE_DIR.*/' build-cuda/CMakeCache.txt; then
		cmake --build --preset cuda --target test_vendor_libraries
		build-cuda/tests/vendor/test_vendor_libraries
		readelf -d build-cuda/lib/libqmd.so | grep -E 'cudnn|cublas' && exit 1 # opened at run time, never linked
	else
		echo "SKIPPED: no cudnn.h on this machine, training on a GPU was not compiled for the real cuDNN"
	fi
else
	echo "SKIPPED: no nvcc on this machine, the CUDA kernels were compiled for the CPU alone"
fi

say "Linters"
tests/lint.sh
