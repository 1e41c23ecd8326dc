# Sourced: qmd_install_packages PACKAGE... installs what is missing of the given Debian packages, saying what; where it may not,
# it says which command would, and fails.

qmd_install_packages() {
	missing=""
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
	done
	[ -z "$missing" ] && return 0
	command="apt-get install -y --no-install-recommends$missing"
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "libqmd needs these Debian packages, or what your system calls them:$missing" >&2
		return 1
	elif [ "$(id -u)" -eq 0 ]; then
		become=""
	elif command -v sudo >/dev/null 2>&1; then
		become="sudo"
	else
		echo "libqmd needs packages that only the administrator can install. Please run as root: $command" >&2
		return 1
	fi
	echo "Installing with apt-get:$missing"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	if ! { $become apt-get update && $become $command; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		echo "could not install:$missing (the whole log is in $log)" >&2
		return 1
	fi
	rm -f "$log"
}

# What the library and the qmd program are built with.
qmd_build_packages="gcc g++ cmake ninja-build pkg-config libnetcdf-dev libdnnl-dev libpng-dev libjansson-dev libprotobuf-c-dev protobuf-c-compiler libonnx-dev liblapacke-dev libxlsxwriter-dev"
