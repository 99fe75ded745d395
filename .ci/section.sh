# For those that run in sections: each with its time, the first that fails ends the run.
began=$(date +%s)
times=""

section() { # $1: its name; the rest: its command
    name=$1
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    start=$(date +%s)
    if ! "$@"; then
        printf '\norbital: %s failed; run it alone with: %s\n' "$name" "$*" >&2
        exit 1
    fi
    taken=$(($(date +%s) - start))
    printf '== %s: %s s\n' "$name" "$taken"
    times="$times$(printf '%6s s  %s' "$taken" "$name")
"
}

# At the end: all times.
sections_end() {
    printf '\n%s%6s s  in all\n' "$times" "$(($(date +%s) - began))"
}
