#!/usr/bin/env bash
# libqmd beside its peers on this machine: installs what is missing, makes an environment of its own for Python, builds,
# runs qmd_bench and peers.py, and writes tables, JSON and a plot. Takes a while, and the machine should have nothing else
# to do.
#
#     bench/run.sh [FOLDER] [option of peers.py...]      FOLDER: default build-release/bench-results
#
# The environment takes 6 GB, most of it CUDA libraries that PyPI's PyTorch needs to be imported, without a GPU too. Where
# there is one that has bench/requirements.txt, BENCH_PYTHON=PATH names its Python, and none is made.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
results=build-release/bench-results
case ${1:-} in
"" | -*) ;;
*)
	results=$1
	shift
	;;
esac

# shellcheck source=cmake/dependencies.sh
. cmake/dependencies.sh
qmd_install_packages $qmd_build_packages python3 python3-venv

python=${BENCH_PYTHON:-build-bench-venv/bin/python}
if [ -z "${BENCH_PYTHON:-}" ]; then
	[ -x "$python" ] || python3 -m venv build-bench-venv
	"$python" -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
fi
cmake --preset release >/dev/null
cmake --build --preset release --target qmd qmd_bench >/dev/null

mkdir -p "$results"
build-release/bench/qmd_bench --json "$results/qmd_bench.json" | tee "$results/qmd_bench.txt"
QMD_LIBRARY=build-release/lib/libqmd.so PYTHONPATH=examples/python "$python" bench/peers.py --output "$results" "$@"
echo "written to $results"
