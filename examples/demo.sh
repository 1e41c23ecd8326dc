#!/usr/bin/env bash
# The main job on the bundled trajectories: adenylate kinase, open and closed, three replicas each. Installs what it needs,
# builds libqmd and runs `qmd study`. The result is in the folder study/, or in the one that is named.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output=${1:-$root/study}

# shellcheck source=cmake/dependencies.sh
. "$root/cmake/dependencies.sh"
qmd_install_packages $qmd_build_packages

build=$root/build-demo
echo "Building libqmd in $build"
log=$build.log
if ! { cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQMD_BUILD_TESTS=OFF && cmake --build "$build"; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "the build failed: the whole log is in $log" >&2
	exit 1
fi

data=$root/examples/data
"$build/examples/qmd" study \
	--state "open=$data/adk-open.pdb,$data/adk-open-1.nc,$data/adk-open-2.nc,$data/adk-open-3.nc" \
	--state "closed=$data/adk-closed.pdb,$data/adk-closed-1.nc,$data/adk-closed-2.nc,$data/adk-closed-3.nc" \
	-o "$output"
