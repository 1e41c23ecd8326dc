#!/usr/bin/env bash
# libqmd beside its peers on this machine: makes an environment of its own for Python, builds, runs qmd_bench and peers.py
# and writes tables, JSON and a plot into a folder (default: build-bench/results). Takes some minutes; the machine should have
# nothing else to do. Options after the folder go to peers.py.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
results=${1:-$root/build-bench/results}
shift || true
venv=$root/build-bench-venv

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$root/bench/requirements.txt"
cmake -S "$root" -B "$root/build-bench" -DCMAKE_BUILD_TYPE=Release -DQMD_BUILD_TESTS=OFF -DQMD_BUILD_EXAMPLES=OFF >/dev/null
cmake --build "$root/build-bench" --target qmd qmd_bench >/dev/null

mkdir -p "$results"
"$root/build-bench/bench/qmd_bench" --json "$results/qmd_bench.json" | tee "$results/qmd_bench.txt"
QMD_LIBRARY=$root/build-bench/lib/libqmd.so PYTHONPATH=$root/examples/python \
	"$venv/bin/python" "$root/bench/peers.py" --output "$results" "$@"
echo "written to $results"
