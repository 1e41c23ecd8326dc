#!/usr/bin/env bash
# clang-format, clang-tidy and shell syntax over everything that is tracked. Needs the compile commands of the release
# build, and of the CUDA build where there is one; C that neither compiles is named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t files < <(git ls-files '*.c' '*.h' '*.cpp' '*.cu')
clang-format --dry-run -Werror "${files[@]}"
git ls-files '*.sh' .ci/run | xargs -n 1 bash -n

# The build that compiles a file, and the file.
find_builds() {
	git ls-files '*.c' | while read -r file; do
		for build in build-release build-cuda; do
			if grep -qsF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json"; then
				echo "$build $file"
				continue 2
			fi
		done
		echo "not compiled, so not looked at: $file" >&2
	done
}
find_builds | xargs -P "$(nproc)" -n 2 sh -c 'clang-tidy -p "$0" --quiet "$1" 2>/dev/null'
echo "lint: ${#files[@]} files clean"
