#!/usr/bin/env bash
# libqmd beside its peers on this machine: installs what is missing, makes an environment of its own for Python, builds,
# runs qmd_bench and peers.py, and writes tables, JSON and a plot. Takes a while, and the machine should have nothing else
# to do.
#
#     bench/run.sh [FOLDER] [option of peers.py...]      FOLDER: default build-release/bench-results
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
results=${1:-build-release/bench-results}
shift || true

# shellcheck source=cmake/dependencies.sh
. cmake/dependencies.sh
qmd_install_packages $qmd_build_packages python3 python3-venv

venv=build-bench-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
cmake --preset release >/dev/null
cmake --build --preset release --target qmd qmd_bench >/dev/null

mkdir -p "$results"
build-release/bench/qmd_bench --json "$results/qmd_bench.json" | tee "$results/qmd_bench.txt"
QMD_LIBRARY=build-release/lib/libqmd.so PYTHONPATH=examples/python "$venv/bin/python" bench/peers.py --output "$results" "$@"
echo "written to $results"
