"""Too few addresses, and long tests: what memory is taken, and what is said where there is too little."""
import json, os

from bench import Skipped, limited, work

MIB = 1 << 20
# Bytes for a number that is kept: itself, in a list that grows by half.
MOST_PER_NUMBER = 24
REPORTS = ["default", "table", "csv", "json", "markdown", "html", "junit", "prometheus", "bencher"]


def addresses(bench, row):
    low, high, steps = 200e6, 8e9, 10
    sizes = [int(low * (high / low) ** (step / (steps - 1)) / 1024) for step in range(steps)]
    passed = 0
    for cache in ("warm", "cold") if bench.full else ("warm",):
        for kib in sizes if bench.full else sizes[::4]:
            place = bench.place()
            env = {"XDG_CACHE_HOME": f"{place}/cold"} if cache == "cold" else {}
            end = bench.run(place, *work(5, 5), "--recording", "r.jsonl", "--report", "csv", prefix=limited(f"ulimit -v {kib}"), env=env)
            what = f"ulimit -v {kib}, {cache} cache"
            bench.judge(row, what, end, (0, 1, 2))
            if end.code == 0:
                passed += 1
                row.check(bench.runs_in(place, "r.jsonl") == (5, "complete"), f"{what}: exit 0, and not all is there")
            else:
                row.check("ulimit -v" in end.stderr and "failed in" not in end.stderr, f"{what}: the limit is not named: {end.last_words()}")
            bench.done(place)
    row.note = f"{passed} had enough"


def samples_in(path):
    """Iterations and samples of all runs of a recording."""
    iterations = samples = 0
    for line in open(path):
        if line.startswith('{"type":"run"'):
            run = json.loads(line)
            iterations += run["iterations"]
            samples += sum(len(kept["values"]) for kept in run["samples"].values())
    return iterations, samples


def record(bench, place, name, runs, iterations, tokens, *more):
    end = bench.run(place, *work(runs, iterations, tokens), *more, "--recording", name, "--quiet", "--report", "csv=/dev/null", timeout=900)
    return end, samples_in(f"{place}/{name}")[1]


def grows(bench, row):
    place = bench.place()
    runs = bench.times(100, 1000)
    ends = [record(bench, place, f"{part}.jsonl", runs * part // 2, 1000, 10) for part in (1, 2)]
    for end, _ in ends:
        bench.judge(row, f"{runs * 1000:,} iterations", end, (0,))
    (half, fewer), (whole, more) = ends
    each = (whole.peak - half.peak) / (more - fewer)
    row.check(each < MOST_PER_NUMBER, f"{each:.1f} bytes for a number that is kept")
    bench.readable(row, "all of it", place, f"{place}/2.jsonl", runs)
    row.note = f"{runs * 1000:,} iterations, {more:,} numbers kept: {whole.peak / MIB:.0f} MiB at most, {each:.1f} bytes a number, {whole.seconds:.0f} s"
    bench.done(place)


def every_report(samples):
    def body(bench, row):
        place = bench.place()
        # 5 numbers an iteration, and one for each token but the first.
        runs, tokens = (samples // 20_000, 16) if bench.full else (samples // 20_000 // 20, 16)
        end, made = record(bench, place, "r.jsonl", runs, 1000, tokens)
        bench.judge(row, f"{samples:,} samples", end, (0,))
        row.check(made >= runs * 20_000, f"{made:,} samples instead of {runs * 20_000:,}")
        peaks = []
        for report in REPORTS:
            end = bench.run(place, "report", "r.jsonl", "--with", f"{report}=out", timeout=600)
            if bench.judge(row, f"{report} of {made:,} samples", end, (0,)):
                row.check(0 < end.peak < 1_000_000_000, f"{report} of {made:,} samples takes {end.peak:,} bytes")
                peaks.append(f"{report} {end.peak / MIB:.0f} MiB {end.seconds:.1f} s")
        # A comparison reads two, each with as many.
        again, _ = record(bench, place, "again.jsonl", runs, 1000, tokens, "--seed", "1")
        bench.judge(row, "the other to compare", again, (0,))
        for form in ("table", "markdown", "json", "html"):
            end = bench.run(place, "compare", "r.jsonl", "again.jsonl", "--format", form, timeout=600)
            if bench.judge(row, f"compare in {form} of {made:,} samples", end, (0,)):
                row.check(0 < end.peak < 1_000_000_000, f"compare in {form} of {made:,} samples takes {end.peak:,} bytes")
                peaks.append(f"compare {form} {end.peak / MIB:.0f} MiB {end.seconds:.1f} s")
        row.note = f"{made:,} samples, a file of {os.path.getsize(f'{place}/r.jsonl') / MIB:.0f} MiB: {', '.join(peaks)}"
        bench.done(place)
    return body


def too_much(bench, row):
    if not bench.full:
        raise Skipped("only with --full: it takes a quarter of a minute")
    place = bench.place()
    end, made = record(bench, place, "r.jsonl", 1000, 1000, 17)
    bench.judge(row, "21,000,000 samples", end, (1,))
    row.check("20000000 samples in all" in end.stderr and "finished runs are kept" in end.stderr, f"not said: {end.last_words()}")
    runs, status = bench.runs_in(place, "r.jsonl")
    row.check(runs == 952, f"{runs} runs can be read again: {status}")
    for what in (["--with", "csv", "--set", "what=samples"], ["--with", "json", "--set", "samples=true"]):
        end = bench.run(place, "report", "r.jsonl", *what, timeout=600)
        # Whole or a sentence that names the bound; half a table is neither.
        bench.judge(row, " ".join(what), end, (0, 1, 2))
        row.check(end.code == 0 or (end.stdout == "" and "--max-" in end.stderr), f"{what}: {end.last_words()}")
        row.check(0 < end.peak < 1_000_000_000, f"{what} takes {end.peak:,} bytes")
    row.note = f"{runs} of 1,000 runs ({made:,} samples) are kept, and can be read"
    bench.done(place)


FAULTS = [
    ("too few addresses", "`ulimit -v` in 10 steps from 200 MB to 8 GB, plugins compiled before and not", addresses),
    ("a long test", "a million iterations on the simulated model, and half as many", grows),
    ("10 million samples in every built-in report", "under 1 GB; peak of memory and time of each", every_report(10_000_000)),
    ("20 million samples in every built-in report", "the most that a recording may have", every_report(20_000_000)),
    ("more samples than a recording may have", "21 million, and each of 20 million asked for as text", too_much),
]
