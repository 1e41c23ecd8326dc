#!/usr/bin/env bash
# clang-format, clang-tidy and shell syntax over everything that is tracked. Needs the release build's compile commands;
# what that build does not compile is left out (tests/run.sh looks at the vendor's in the CUDA build).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t files < <(git ls-files '*.c' '*.h' '*.cpp' '*.cu')
clang-format --dry-run -Werror "${files[@]}"
git ls-files '*.sh' .ci/run | xargs -n 1 bash -n
git ls-files '*.c' | grep -Ev '^(tests/consumer/|lib/runtime_only\.c|kernels/cuda/runtime_cuda\.c|kernels/cuda/vendor/|tests/vendor/)' | xargs -P "$(nproc)" -n 1 clang-tidy -p build-release --quiet 2>/dev/null
echo "lint: ${#files[@]} files clean"
