"""Signals that end, stop or warn a process."""
import json, os, signal, time

from bench import limited, work

PACED = [*work(60, 2, 2, "2ms"), "--recording", "r.jsonl", "--report", "csv=/dev/null"]


def lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def ended_by(name):
    def body(bench, row):
        number = getattr(signal, f"SIG{name}")
        for trial in range(bench.times(4, 60)):
            place = bench.place()
            running = bench.start(place, *PACED)
            if trial % 4 == 0:
                running.wait_for_runs(3)
            else:
                time.sleep(bench.random.uniform(0, 0.5))
            running.send(number)
            end = running.end()
            path = f"{place}/r.jsonl"
            # Before there is a recording, a signal does what it does to any process.
            codes = (130, 0) if os.path.exists(path) else (130, -number)
            bench.judge(row, f"{name} {trial}", end, codes)
            status = bench.readable(row, f"{name} {trial}", place, path, end.acknowledged)
            if end.code == 130 and os.path.exists(path):
                # Of a recording without a finished run nothing needs to be found again.
                row.check(status == "interrupted" and ("r.jsonl" in end.stderr or end.acknowledged == 0), f"{name} {trial}: {status}, {end.last_words()}")
            bench.done(place)
    return body


def twice(bench, row):
    for trial in range(bench.times(3, 40)):
        place = bench.place()
        # An iteration of half a second: the first signal waits for its end.
        running = bench.start(place, *work(20, 1, 2, "250ms" if trial % 2 else "20ms"), "--recording", "r.jsonl", "--report", "csv=/dev/null")
        running.wait_for_runs(1)
        running.send(signal.SIGINT)
        time.sleep(bench.random.uniform(0, 0.1))
        running.send(signal.SIGINT)
        end = running.end()
        bench.judge(row, f"INT twice {trial}", end, (130,))
        bench.readable(row, f"INT twice {trial}", place, f"{place}/r.jsonl", end.acknowledged)
        bench.done(place)


def stopped(bench, row):
    for trial in range(bench.times(1, 10)):
        place = bench.place()
        # Of runs of a second, so that it falls into one: between two there is no figure that it could be in.
        running = bench.start(place, *work(3, 250, 2, "2ms"), "--recording", "r.jsonl", "--report", "csv=/dev/null")
        running.wait_for_runs(1)
        time.sleep(bench.random.uniform(0.2, 0.5))
        running.send(signal.SIGSTOP)
        time.sleep(1.2)
        running.send(signal.SIGCONT)
        end = running.end()
        bench.judge(row, f"STOP {trial}", end, (0,))
        if bench.readable(row, f"STOP {trial}", place, f"{place}/r.jsonl", end.acknowledged):
            still = [run["standstill"]["stopped"] for run in lines(f"{place}/r.jsonl") if run.get("standstill")]
            row.check(len(still) == 1 and 0.5 < still[0] < 60, f"STOP {trial}: recorded as {still}")
        row.check("the process did not run for" in end.stderr, f"STOP {trial}: not warned of")
        bench.done(place)


def readers_go(bench, row):
    for trial in range(bench.times(2, 20)):
        for gone in (("stdout",), ("stderr",), ("stdout", "stderr")):
            place = bench.place()
            running = bench.start(place, *work(60, 2, 2, "2ms"), "--recording", "r.jsonl", unread=gone)
            time.sleep(bench.random.uniform(0, 0.3))
            for name in gone:
                getattr(running.process, name).close()
            end = running.end()
            what = f"without a reader of {' and '.join(gone)}, {trial}"
            bench.judge(row, what, end, (0,))
            status = bench.readable(row, what, place, f"{place}/r.jsonl", 60)
            row.check(status == "complete", f"{what}: {status}")
            bench.done(place)


def small_files(bench, row):
    reference = bench.place()
    arguments = [*work(40, 20, 8), "--recording", "r.jsonl", "--report", "csv=out.csv"]
    bench.must(reference, *arguments)
    new = open(f"{reference}/out.csv", "rb").read()
    blocks = os.path.getsize(f"{reference}/r.jsonl") // 512
    for limit in sorted({0, 1, 2, 8, *(bench.random.randrange(blocks + 40) for _ in range(bench.times(4, 60)))}):
        place = bench.place()
        open(f"{place}/out.csv", "w").write("before")
        end = bench.run(place, *arguments, prefix=limited(f"ulimit -f {limit}"))
        what = f"ulimit -f {limit}"
        bench.judge(row, what, end, (0, 1))
        # The one that failed is acknowledged as measured, and said to be lost to the file.
        unwritten = 1 if "could not be written" in end.stderr else 0
        bench.readable(row, what, place, f"{place}/r.jsonl", end.acknowledged - unwritten)
        bench.whole(row, what, f"{place}/out.csv", b"before", new, *([open(f"{place}/out.csv", "rb").read()] if unwritten else []))
        if end.code == 0:
            row.check(bench.runs_in(place, "r.jsonl") == (40, "complete"), f"{what}: exit 0, and not all is there")
        row.check(not [name for name in os.listdir(place) if name.endswith(".new")], f"{what}: a temporary is left")
        bench.done(place)


def processor_time(bench, row):
    for trial in range(bench.times(1, 10)):
        for kind in ("-S", "") if bench.full else ("-S",):
            place = bench.place()
            end = bench.run(place, *work(1000, 10000), "--recording", "r.jsonl", "--report", "csv=/dev/null",
                            prefix=limited(f"ulimit {kind} -t 1".replace("-S -t", "-St")))
            # The kernel ends who has used its time; soft, it asks first.
            bench.judge(row, f"ulimit {kind} -t {trial}", end, (-signal.SIGXCPU, -signal.SIGKILL, 0, 1, 130))
            row.check(end.acknowledged > 0, f"ulimit {kind} -t {trial}: no run was finished, so nothing was tried")
            bench.readable(row, f"ulimit {kind} -t {trial}", place, f"{place}/r.jsonl", end.acknowledged)
            bench.done(place)


FAULTS = [
    *((f"SIG{name}", "at a random moment of `run`: it ends after the iteration, exit 130", ended_by(name)) for name in ("INT", "TERM", "HUP")),
    ("SIGINT twice", "the second up to 0.1 s after the first", twice),
    ("SIGSTOP and SIGCONT", "1.2 s apart, in a run", stopped),
    ("SIGPIPE", "the reader of stdout, of stderr, or of both goes", readers_go),
    ("SIGXFSZ", "`ulimit -f` of random sizes", small_files),
    ("SIGXCPU", "`ulimit -t 1`: soft, the test ends after its iteration; hard, the kernel ends the process", processor_time),
]
