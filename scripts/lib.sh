# What the scripts share. Sourced, never run.
# shellcheck shell=bash

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# Where rustup puts cargo: a shell that was open before does not have it on its path, and a cargo of
# the distribution that is too old must not come first.
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Prints the comment at the head of the calling script, which is its help.
print_help() {
    sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0"
}

say() {
    printf '\n== %s\n' "$*" >&2
}

# fail MESSAGE [CODE]: ends with the exit code, 1 unless told otherwise.
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit "${2:-1}"
}

usage_error() {
    printf '%s: %s (see --help)\n' "$(basename "$0")" "$*" >&2
    exit 2
}

# The folder in which cargo leaves what it builds.
target_dir() {
    printf '%s\n' "${CARGO_TARGET_DIR:-$root/target}"
}

hongxian() {
    "$(target_dir)/release/hongxian" "$@"
}
