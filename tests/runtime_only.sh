#!/usr/bin/env bash
# The runtime-only build: it needs libc, libm and pthreads alone, exports what the full build exports, says of what it
# leaves out that it does, and computes the same from the same engine file. Usage: runtime_only.sh SOURCE BUILD
set -euo pipefail
source=$1
full=$2/lib/libqmd.so
build=$2/runtime-only
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQMD_WERROR=ON -DQMD_RUNTIME_ONLY=ON -DQMD_BUILD_TESTS=OFF \
	-DQMD_BUILD_EXAMPLES=OFF >/dev/null
cmake --build "$build" --target qmd >/dev/null
runtime=$build/lib/libqmd.so

needed=$(ldd "$runtime" | awk '{print $1}' | sed 's,.*/,,' | grep -Ev '^(linux-vdso|ld-linux[^ ]*|libc|libm|libpthread)\.so' || true)
if [ -n "$needed" ]; then
	echo "runtime-only: it needs $needed" >&2
	exit 1
fi

symbols() {
	nm -D --defined-only "$1" | awk '$2 ~ /[TDB]/ {print $3}' | sed 's/@.*//' | sort
}
diff -u <(symbols "$full") <(symbols "$runtime")

for kind in full runtime; do
	library=${!kind}
	cc -std=c11 -O2 -Wall -Wextra -Werror -I"$source/include" "$source/tests/consumer/runtime_only.c" "$library" \
		-Wl,-rpath,"$(dirname "$library")" -o "$work/$kind"
done
"$work/full" make "$work/engine.qme"
"$work/full" run "$work/engine.qme" >"$work/expected"
"$work/runtime" run "$work/engine.qme" >"$work/found"
cmp "$work/expected" "$work/found"

status=0
"$work/runtime" make "$work/none.qme" 2>"$work/message" || status=$?
if [ $status -ne 3 ] || ! grep -q 'qmd_model_create_preset: not in a runtime-only build' "$work/message"; then
	echo "runtime-only: exit status $status: $(cat "$work/message")" >&2
	exit 1
fi
echo "runtime-only: $(symbols "$runtime" | wc -l) symbols, $(ldd "$runtime" | wc -l) libraries, the same results"
