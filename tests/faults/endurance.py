"""Long tests: memory over time grows only by what is kept."""
import os, threading, time

from bench import work
from memory import MIB, MOST_PER_NUMBER, samples_in

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/bare-f16")
# What an allocator and the system may add or take back meanwhile.
SLACK = 48 * MIB


class Resident:
    """The memory that a command holds, asked for again and again."""

    def __init__(self, running, every):
        self.running, self.every, self.seen = running, every, []
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        page, start = os.sysconf("SC_PAGE_SIZE"), time.monotonic()
        while True:
            try:
                with open(f"/proc/{self.running.process.pid}/statm") as file:
                    resident = int(file.read().split()[1]) * page
            except OSError:
                return
            # One that has ended and is not waited for has none.
            if resident == 0:
                return
            self.seen.append((time.monotonic() - start, resident))
            time.sleep(self.every)

    def at(self, share):
        """At that share of the time."""
        return self.seen[round(share * (len(self.seen) - 1))][1]

    def check(self, row, what, samples):
        """From the first quarter on it grows by what is kept, and by nothing else."""
        if row.check(len(self.seen) >= 20, f"{what}: memory was looked at {len(self.seen)} times only"):
            grown, kept = max(resident for _, resident in self.seen[len(self.seen) // 4:]) - self.at(0.25), samples * 3 // 4
            row.check(grown < MOST_PER_NUMBER * kept + SLACK, f"{what}: memory grows by {grown:,} bytes while {kept:,} numbers are kept")

    def told(self):
        return " → ".join(f"{self.at(share / 4) / MIB:.0f}" for share in range(5)) + " MiB"


def long(bench, row, what, arguments, every, timeout):
    place = bench.place()
    running = bench.start(place, *arguments, "--recording", "r.jsonl", "--report", "csv=/dev/null")
    resident = Resident(running, every)
    end = running.end(timeout)
    resident.thread.join(10)
    bench.judge(row, what, end, (0,))
    iterations, samples = samples_in(f"{place}/r.jsonl")
    resident.check(row, what, samples)
    bench.readable(row, what, place, f"{place}/r.jsonl", end.acknowledged)
    row.note = (f"{iterations:,} iterations, {samples:,} numbers kept in {end.seconds / 60:.1f} minutes; resident at the start, each quarter and the "
                f"end: {resident.told()}")
    bench.done(place)


def simulated(bench, row):
    runs = bench.times(100, 1000)
    long(bench, row, f"{runs * 1000:,} iterations", work(runs, 1000, 10), bench.times(0.01, 0.05), 1200)


def on_the_cpu(bench, row):
    seconds = round(bench.minutes * 60) if bench.full else 4
    set_to = {"runs": 10_000, "stop": f"{seconds}s", "iterations": bench.times(10, 100), "warmup": 0, "prompt-tokens": 20, "max-new-tokens": 40, "batch": 32}
    arguments = ["run", "--device", "cpu", "--model", MODEL, *(word for key, value in set_to.items() for word in ("--set", f"{key}={value}"))]
    long(bench, row, f"{seconds} s on the CPU", arguments, seconds / 400, seconds * 2 + 120)


FAULTS = [
    ("a million iterations", "on the simulated model, as fast as it goes; resident memory is looked at 20 times a second or more", simulated),
    ("a long test on the CPU", "the golden model of 2 layers, batches of 32; resident memory is looked at 400 times", on_the_cpu),
]
