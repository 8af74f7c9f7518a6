#!/usr/bin/env python3
"""Breaks what is under a harness binary, and looks what is lost or unsaid; exit 1 if anything is.

Usage: run.py BINARY [--full] [--minutes N] [--seed N] [--markdown] [--only REGEX]      (Python's standard library only; Linux)

The short form takes under a minute and tries a few of each fault; --full tries all of them, in about an hour and a
half, a third of which is the long test on the CPU (--minutes). What this machine can't make (no strace, no faketime, no mount
namespace) is SKIPPED with the reason: it was not tried and did not pass. --markdown prints the table of docs/reliability.md alone.
--only: faults whose name this regular expression is found in; parts of all can so run side by side.
"""
import argparse, os, re, signal, sys, time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clocks, endurance, filesystems, kills, memory, signals, spoiled, syscalls
from bench import Bench, Row, Skipped, work

MODULES = [kills, signals, syscalls, filesystems, clocks, memory, endurance, spoiled]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--minutes", type=float, default=30, help="of the long test on the CPU, with --full")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    # Another each time, and said, so that what is found can be made again.
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    bench = Bench(os.path.abspath(arguments.binary), arguments.full, seed, arguments.minutes)
    say = lambda line: print(line, file=sys.stderr if arguments.markdown else sys.stdout, flush=True)
    started = time.monotonic()
    # Whoever runs this may ignore them, and harness goes on ignoring what it finds ignored.
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    # Compiled once, so that what is killed is what is meant.
    for report in memory.REPORTS:
        bench.must(bench.place(), "plugin", "check", report)
    rows = []
    for fault, how, body in (fault for module in MODULES for fault in module.FAULTS):
        if not re.search(arguments.only, fault):
            continue
        row, before = Row(fault, how), time.monotonic()
        try:
            body(bench, row)
            row.check(row.tries > 0, "nothing was tried")
        except Skipped as reason:
            row.skipped = str(reason)
        except Exception as error:  # A check that breaks has passed nothing.
            row.problems.append(f"{type(error).__name__}: {error}")
        rows.append(row)
        word = "SKIPPED" if row.skipped else "LOST" if row.problems else "held"
        say(f"{word:8} {fault}: {row.tries} tries, {time.monotonic() - before:.1f} s{': ' + row.skipped if row.skipped else ''}")
        for problem in row.problems:
            say(f"         {problem}")
    say(f"\nseed {seed}, {'long' if arguments.full else 'short'} form, {time.monotonic() - started:.0f} s\n")
    print("| fault | how | tried | lost or unsaid |\n| --- | --- | ---: | --- |")
    for row in rows:
        print(row.markdown())
    sys.exit(any(row.problems for row in rows) or not rows)


main()
