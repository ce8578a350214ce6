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

# Which build the scripts use: `dev` is that of scripts/test, slower, with which nothing is compiled twice.
profile=${HONGXIAN_PROFILE:-release}

program_dir() {
    printf '%s\n' "$(target_dir)/${profile/#dev/debug}"
}

# build [OPTION...]: the program, with what else the options of cargo say. The dev build is of everything,
# as scripts/test has it: with fewer targets, crates have fewer features and are compiled anew.
build() {
    local what=(-p hongxian)
    [[ $profile != dev ]] || what=(--workspace --all-targets)
    cargo build --profile "$profile" --manifest-path "$root/Cargo.toml" "${what[@]}" "$@"
}

hongxian() {
    "$(program_dir)/hongxian" "$@"
}

# Whether somebody listens on a port of this machine.
is_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
    local candidate
    for _ in {1..100}; do
        # Below the range from which the system gives ports to those who connect.
        candidate=$((15000 + RANDOM % 15000))
        is_taken "$candidate" || { printf '%s\n' "$candidate" && return; }
    done
    fail "found no free port" 3
}
