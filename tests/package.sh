#!/usr/bin/env bash
# The way a user goes: install a build, then build and run programs outside the tree by find_package() and by pkg-config, and
# each header alone as C11 and as C++17. Usage: package.sh SOURCE BUILD
set -euo pipefail
source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" >/dev/null
library=$(find "$prefix" -name libqmd.so)
folder=$(dirname "$library")

cmake -S "$source/tests/consumer" -B "$work/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/consumer" >/dev/null
"$work/consumer/consumer_c"
"$work/consumer/consumer_cpp"

export PKG_CONFIG_PATH=$folder/pkgconfig
flags=$(pkg-config --define-variable=prefix="$prefix" --cflags --libs qmd)
# shellcheck disable=SC2086
gcc -std=c11 -Wall -Wextra -Werror "$source/tests/consumer/consumer.c" $flags -Wl,-rpath,"$folder" -o "$work/by_pkg_config"
"$work/by_pkg_config"
# shellcheck disable=SC2086
gcc -std=c11 -pedantic -Wall -Wextra -Werror "$source/examples/embed.c" $flags -lm -o "$work/embed"

for header in "$prefix"/include/qmd.h "$prefix"/include/qmd/*.h; do
	gcc -std=c11 -pedantic -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only -x c "$header"
	g++ -std=c++17 -pedantic -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only -x c++ "$header"
done

nm -D --defined-only "$library" | awk '$2 ~ /[TDB]/ {print $3}' | sed 's/@.*//' | sort >"$work/symbols"
diff -u "$source/tests/symbols.txt" "$work/symbols"
test -s "$prefix/share/man/man1/qmd.1"
readelf -d "$library" | grep -q 'SONAME.*libqmd\.so\.0'
echo "package: installed, linked and exported as expected"
