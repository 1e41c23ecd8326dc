#!/usr/bin/env bash
# A small study, and a run of its engine, under Valgrind's memcheck: no invalid access, no use of memory that was never set (what
# AddressSanitizer does not look for, and not in the code that oneDNN makes either), nothing lost. No suppressions: there is nothing
# to suppress. Valgrind shows the program a processor with AVX2 and no more. Usage: valgrind.sh [BUILD]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(realpath "${1:-$root/build-release}")
# shellcheck source=cmake/dependencies.sh
. "$root/cmake/dependencies.sh"
qmd_install_packages valgrind
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() {
	if ! valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible --num-callers=30 \
		--log-file="$work/valgrind.log" "$build/examples/qmd" "$@" >"$work/output" 2>&1; then
		tail -n 5 "$work/output" >&2
		tail -n 200 "$work/valgrind.log" >&2
		echo "valgrind: qmd $1 is not clean" >&2
		exit 1
	fi
	echo "valgrind: qmd $1 is clean"
}

data=$root/examples/data
check study --state "open=$data/adk-open.pdb,$data/adk-open-1.nc,$data/adk-open-2.nc" \
	--state "closed=$data/adk-closed.pdb,$data/adk-closed-1.nc,$data/adk-closed-2.nc" \
	--select "name CA and resid 1 to 100" --stride 20 --folds 1 --epochs 1 --qat-epochs 1 --explain-frames 1 --threads 1 \
	-o "$work/study"
check run "$work/study/fold-1.qme" "$data/adk-open-3.nc" --topology "$data/adk-open.pdb" --threads 2 --stride 10
