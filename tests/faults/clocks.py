"""Clocks that are far off, and that jump."""
import glob, json, math, time

from bench import Skipped, need, work

PACED = [*work(20, 5, 2, "2ms"), "--recording", "r.jsonl", "--report", "csv"]


def sane(row, what, place):
    """No figure is negative, infinite, or a time that is not this run's."""
    for line in map(json.loads, open(f"{place}/r.jsonl")):
        if line["type"] == "run":
            samples = [value for kept in line["samples"].values() for value in kept["values"]]
            figures = [*line["values"].values(), *samples, line["wall_time"]]
            row.check(all(math.isfinite(value) and value >= 0 for value in figures), f"{what}: a figure is negative or no number")
            row.check(0 < line["values"]["latency"] < 60 and line["wall_time"] < 600, f"{what}: latency {line['values']['latency']} s")


def far(bench, row):
    faketime = need("faketime")
    dates = ["1970-01-01 00:00:10", "1999-12-31 23:59:59", "2038-01-19 03:14:07", "2106-02-07 06:28:15", "2200-01-01 00:00:00", "9999-12-30 00:00:00",
             "9999-12-31 23:59:59"]
    for date in dates if bench.full else dates[::3]:
        place = bench.place()
        end = bench.run(place, *PACED, prefix=[faketime, "-f", f"@{date}"], env={"TZ": "UTC"})
        bench.judge(row, date, end, (0,))
        if bench.readable(row, date, place, f"{place}/r.jsonl", 20) == "complete":
            sane(row, date, place)
            start = json.loads(open(f"{place}/r.jsonl").readline())["facts"]["start"]
            row.check(start[:3] == date[:3], f"{date}: recorded as {start}")
        # And what was made before it.
        bench.judge(row, f"report in {date}", bench.run(place, "report", "r.jsonl", "--with", "html=out.html", prefix=[faketime, "-f", f"@{date}"]), (0,))
        bench.judge(row, f"recordings in {date}", bench.run(place, *work(1, 1), "--report", "csv=/dev/null", prefix=[faketime, "-f", f"@{date}"]), (0,))
        bench.done(place)


def jumps(bench, row):
    need("faketime")
    libraries = glob.glob("/usr/lib*/*/faketime/libfaketime.so.1")
    if not libraries:
        raise Skipped("libfaketime.so.1 is not where Debian has it")
    for by in ("+3600", "-3600", "+86400000", "+250000000000", "-1000000000") if bench.full else ("+3600", "-3600"):
        place = bench.place()
        offset = f"{place}/offset"
        open(offset, "w").write("+0\n")
        # What a set clock does: the time of day jumps, and the clock that measures goes on.
        env = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        # Of runs of a second, so that it falls into one and not between two.
        running = bench.start(place, *work(3, 250, real_time="2ms"), "--report", "csv=/dev/null", "--recording", "r.jsonl", env=env)
        running.wait_for_runs(1)
        time.sleep(0.3)
        open(offset, "w").write(f"{by}\n")
        end = running.end()
        what = f"a jump by {by} s"
        bench.judge(row, what, end, (0,))
        if bench.readable(row, what, place, f"{place}/r.jsonl", end.acknowledged) == "complete":
            sane(row, what, place)
            row.check("the time of day jumped" in end.stderr, f"{what}: not warned of: {end.last_words()}")
        bench.done(place)


FAULTS = [
    ("a clock that is far off", "faketime: 1970 to 9999; `run`, `report`, a recording named by its date", far),
    ("the time of day jumps in a run", "libfaketime: back and forth by an hour to thousands of years", jumps),
]
