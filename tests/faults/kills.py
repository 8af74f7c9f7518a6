"""SIGKILL at random moments: what was acknowledged is there, and no file is half."""
import hashlib, json, os, signal, time

from bench import TEMPORARY, work
from registry import Registry


def read(path):
    with open(path, "rb") as file:
        return file.read()


def killed(bench, place, seconds, arguments, **how):
    """Kills the command at a random moment of the time that it takes."""
    running = bench.start(place, *arguments, **how)
    time.sleep(bench.random.uniform(0, seconds))
    running.send(signal.SIGKILL)
    return running.end()


def of_run(bench, row):
    reference = bench.place()
    arguments = [*work(100, 200), "--recording", "r.jsonl", "--report", "csv=out.csv"]
    seconds = bench.must(reference, *arguments).seconds
    new = read(f"{reference}/out.csv")
    acknowledged = 0
    for trial in range(bench.times(6, 200)):
        place = bench.place()
        open(f"{place}/out.csv", "w").write("before")
        end = killed(bench, place, seconds * 1.1, arguments)
        bench.judge(row, f"kill {trial}", end, (-signal.SIGKILL, 0))
        bench.readable(row, f"kill {trial}", place, f"{place}/r.jsonl", end.acknowledged)
        acknowledged += end.acknowledged
        bench.whole(row, f"kill {trial}", f"{place}/out.csv", b"before", new)
        left = bench.temporaries(row, f"kill {trial}", place, ("r.jsonl", "out.csv", ".local", ".cache"))
        if left or trial == 0:
            bench.must(place, *work(1, 1), "--recording", "next.jsonl", "--report", "csv=out.csv")
            bench.swept(row, f"kill {trial}", place)
        bench.done(place)
    row.note = f"{acknowledged:,} acknowledged runs, all read again"


def of_report(bench, row):
    place = bench.place()
    bench.must(place, *work(200, 100), "--recording", "r.jsonl", "--report", "csv=/dev/null")
    arguments = ["report", "r.jsonl", "--with", "html=out.html"]
    seconds = bench.must(place, *arguments).seconds
    new = read(f"{place}/out.html")
    for trial in range(bench.times(6, 200)):
        open(f"{place}/out.html", "w").write("before")
        end = killed(bench, place, seconds * 1.1, arguments)
        bench.judge(row, f"kill {trial}", end, (-signal.SIGKILL, 0))
        bench.whole(row, f"kill {trial}", f"{place}/out.html", b"before", new)
        if bench.temporaries(row, f"kill {trial}", place, ("r.jsonl", "out.html", ".local", ".cache")):
            bench.must(place, *arguments)
            bench.swept(row, f"kill {trial}", place)
    bench.readable(row, "after all", place, f"{place}/r.jsonl", 200)


def of_baseline(bench, row):
    place = bench.place()
    for name, runs in (("a", 100), ("b", 120)):
        bench.must(place, *work(runs, 400, 8), "--recording", f"{name}.jsonl", "--report", "csv=/dev/null")
    old, new = read(f"{place}/a.jsonl"), read(f"{place}/b.jsonl")
    folder = f"{place}/.local/share/harness/recordings/baselines"
    kept = f"{folder}/main.jsonl"
    save = ["baseline", "save", "main"]
    seconds = bench.must(place, *save, "a.jsonl").seconds
    for trial in range(bench.times(6, 200)):
        replace = trial % 2 == 0
        if os.path.exists(kept):
            os.remove(kept)
        if replace:
            bench.must(place, *save, "a.jsonl")
        end = killed(bench, place, seconds * 1.1, [*save, "b.jsonl", *["--replace"] * replace])
        bench.judge(row, f"kill {trial}", end, (-signal.SIGKILL, 0))
        if end.code == 0:
            bench.whole(row, f"kill {trial}, exit 0", kept, new)
        bench.whole(row, f"kill {trial}", kept, new, old if replace else None)
        if bench.temporaries(row, f"kill {trial}", folder, ("main.jsonl",)):
            bench.must(place, *save, "b.jsonl", "--replace")
            bench.swept(row, f"kill {trial}", folder)


def of_pull(bench, row):
    component = bench.random.randbytes(4 << 20)
    registry = Registry(component, 0.1)
    reference = bench.place()
    arguments = ["plugin", "pull", registry.reference, "--output", "plugin.wasm"]
    in_place = lambda place: {"env": {"HARNESS_ARTIFACTS": f"{place}/artifacts"}}
    seconds = bench.must(reference, *arguments, **in_place(reference)).seconds
    for trial in range(bench.times(6, 200)):
        place = bench.place()
        open(f"{place}/plugin.wasm", "w").write("before")
        end = killed(bench, place, seconds * 1.1, arguments, **in_place(place))
        bench.judge(row, f"kill {trial}", end, (-signal.SIGKILL, 0))
        bench.whole(row, f"kill {trial}", f"{place}/plugin.wasm", b"before", component)
        folder = f"{place}/artifacts/sha256"
        left = []
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                if not TEMPORARY.fullmatch(name):
                    found = hashlib.sha256(read(f"{folder}/{name}")).hexdigest()
                    row.check(name == found, f"kill {trial}: the artifact {name} has the digest {found}")
            left = bench.temporaries(row, f"kill {trial}", folder, registry.kept)
        left += bench.temporaries(row, f"kill {trial}", place, ("plugin.wasm", "artifacts", ".local", ".cache"))
        # Only what writes there again sweeps there: an artifact that is kept is not written again.
        writes = not os.path.isdir(folder) or not set(registry.kept) <= set(os.listdir(folder))
        bench.must(place, *arguments, **in_place(place))
        bench.whole(row, f"after kill {trial}", f"{place}/plugin.wasm", component)
        bench.swept(row, f"after kill {trial}", place)
        if writes:
            bench.swept(row, f"after kill {trial}", folder)
        bench.done(place)
    registry.close()


def of_sweep(bench, row):
    points, runs = (1, 2, 3, 4, 5), 40
    sweep = ["--sweep", "batch=" + ",".join(map(str, points)), "--recording", "swept"]
    arguments = [*work(runs, 50), *sweep]
    seconds = bench.must(bench.place(), *arguments).seconds
    for trial in range(bench.times(3, 60)):
        place = bench.place()
        kills = 1 + trial % 3
        for _ in range(kills):
            end = killed(bench, place, seconds, arguments)
            bench.judge(row, f"kill {trial}", end, (-signal.SIGKILL, 0))
        # The rest of the points, and none of those that are done.
        end = bench.run(place, *arguments)
        if row.check(end.code == 0, f"after kill {trial}: exit {end.code}: {end.last_words()}"):
            made = [name for name in os.listdir(f"{place}/swept") if name.endswith(".jsonl")]
            row.check(len(made) == len(points), f"after kill {trial}: {len(made)} recordings of {len(points)} points")
            for name in made:
                lines = [json.loads(line) for line in open(f"{place}/swept/{name}")]
                row.check(len(lines) == runs + 2 and lines[-1]["status"] == "complete", f"after kill {trial}: {name} is not whole")
        for name in os.listdir(f"{place}/swept") if os.path.isdir(f"{place}/swept") else ():
            temporary = TEMPORARY.fullmatch(name) is not None
            row.check(not name.startswith(".") or temporary, f"after kill {trial}: {name} is left behind")
        bench.done(place)


FAULTS = [
    ("SIGKILL of `run`", "at a random moment, its report in the place of a file", of_run),
    ("SIGKILL of `report`", "at a random moment, in the place of a file", of_report),
    ("SIGKILL of `baseline save`", "at a random moment, every other one with `--replace`", of_baseline),
    ("SIGKILL of `plugin pull`", "at a random moment, from a registry on loopback; then pulled again", of_pull),
    ("SIGKILL of `run --sweep`", "once to three times at random moments, then the same command to its end", of_sweep),
]
