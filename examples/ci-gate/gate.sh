#!/bin/sh
# Gates a change: records the documented test (or what the arguments say), compares it with a baseline, and fails with exit
# code 3 if a metric got worse by more than PERCENT. Without a baseline there is nothing to compare: the recording becomes it.
#
#   gate.sh BASELINE.jsonl [arguments of harness run…]
#
# HARNESS   the binary [harness]
# PERCENT   what may get worse, in percent [3]
# STRICT    if set, what the runs don't tell fails, too (exit code 4)
# RECORDING where to record, a file that is not there yet [a new one in a temporary folder]
#
# Exit codes are those of harness: 0 done, 1 it ran and failed, 2 something can't be used, 3 a regression, 4 the baseline did
# other work or another shape of model or is not complete, so that it has to be made anew. The comparison's last line begins with PASS
# or FAIL.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: gate.sh BASELINE.jsonl [arguments of harness run...]" >&2
    exit 2
fi
baseline=$1
shift
harness=${HARNESS:-harness}
percent=${PERCENT:-3}
# Better known before the test than after it.
case $percent in
    '' | . | *[!0-9.]* | *.*.*) echo "PERCENT is '$percent', and must be a number such as 3 or 0.5" >&2; exit 2 ;;
esac
if [ ! -e "$baseline" ] && [ ! -d "$(dirname -- "$baseline")" ]; then
    echo "there is no folder for $baseline; make it first" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
recording=${RECORDING:-$work/recording.jsonl}

# What a failed run leaves is kept: it says where.
"$harness" run --quiet --recording "$recording" "$@" >&2 || { code=$?; trap - EXIT; exit "$code"; }

if [ ! -e "$baseline" ]; then
    cp "$recording" "$baseline"
    echo "no baseline yet: $baseline is one now" >&2
    exit 0
fi

# Not the condition of an if: its exit code is wanted.
set +e
"$harness" compare "$baseline" "$recording" --fail-on-regression "$percent" ${STRICT:+--fail-on-inconclusive} --format markdown >"$work/comparison.md"
code=$?
set -e
cat "$work/comparison.md"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    cat "$work/comparison.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
