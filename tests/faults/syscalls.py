"""System calls that fail, one at a time, by strace's injection."""
import os, subprocess, time

from bench import Skipped, need, work

# What fails, how, and from which to which call of a thread; the loader makes the first 17 of mmap and 5 of mprotect.
CALLS = [
    ("write", "ENOSPC", 1, 40), ("write,ftruncate", "EIO", 1, 40), ("fsync,fdatasync", "EIO", 1, 40), ("rename,renameat,renameat2", "EIO", 1, 10),
    ("openat", "EMFILE", 1, 40), ("openat", "ENFILE", 1, 40), ("mmap", "ENOMEM", 18, 120), ("mprotect", "ENOMEM", 6, 60), ("brk,mremap", "ENOMEM", 2, 60),
    ("munmap,madvise", "ENOMEM", 2, 40), ("clone,clone3", "EAGAIN", 1, 40), ("read,pread64", "EIO", 12, 60), ("memfd_create", "EMFILE", 1, 6),
    ("flock,fcntl", "ENOLCK", 1, 20), ("close", "EIO", 1, 10), ("mkdir,mkdirat,unlink,unlinkat", "EROFS", 1, 10),
    ("statx,newfstatat,fstat,lseek,readlink", "EIO", 14, 60), ("getdents64", "EIO", 1, 6),
]
# What fails from a moment of a run on, in every thread, as where memory or a disk goes.
FROM_NOW = [
    ("mmap", "ENOMEM"), ("mprotect", "ENOMEM"), ("mmap,mprotect,brk,mremap", "ENOMEM"), ("munmap,madvise", "ENOMEM"), ("clone,clone3", "EAGAIN"),
    ("write,ftruncate", "ENOSPC"), ("fsync,fdatasync", "EIO"), ("openat", "EMFILE"), ("rename,renameat,renameat2", "EIO"), ("read,pread64", "EIO"),
    ("statx,newfstatat,fstat,lseek", "EIO"), ("close", "EIO"),
]
RUNS = 20
# The first call of harness itself. What fails before it is the system's loader or the standard library's start.
OURS = "rt_sigaction(SIGXFSZ"


class Commands:
    """What is tried, and how all of it looks where nothing fails."""

    def __init__(self, bench):
        self.bench = bench
        place = bench.place()
        self.before(place)
        self.run = [*work(RUNS, 5), "--recording", "r.jsonl", "--report", "csv", "--report", "csv=out.csv"]
        self.all = [self.run, ["report", "old.jsonl", "--with", "csv=out.csv"], ["baseline", "save", "main", "old.jsonl", "--replace"],
                    ["baseline", "save", "other", "old.jsonl"]]
        self.stdout, self.files = [], []
        for arguments in self.all:
            self.stdout.append(bench.must(place, *arguments).stdout)
            self.files.append(open(f"{place}/out.csv", "rb").read())
        self.old = open(f"{place}/old.jsonl", "rb").read()

    def before(self, place):
        recordings = self.bench.root.name
        if not os.path.exists(f"{recordings}/old.jsonl"):
            self.bench.must(recordings, *work(RUNS, 5), "--recording", "old.jsonl", "--report", "csv=/dev/null")
        baselines = f"{place}/.local/share/harness/recordings/baselines"
        os.makedirs(baselines)
        for to in (f"{place}/old.jsonl", f"{baselines}/main.jsonl"):
            with open(to, "wb") as file:
                file.write(open(f"{recordings}/old.jsonl", "rb").read())
        with open(f"{place}/out.csv", "w") as file:
            file.write("before")

    def look(self, row, what, at, place, end, injected):
        bench, codes = self.bench, (0, 1, 2)
        # What is not shown on stderr can't be asked for a sentence there.
        bench.judge(row, what, end, codes, sentence="write(2" not in injected)
        row.check("ENOMEM" not in what or "make harness" not in end.stderr, f"{what}: the plugin is blamed: {end.last_words()}")
        acknowledged = end.acknowledged if at == 0 else 0
        unwritten = "could not be written" in end.stderr
        bench.readable(row, what, place, f"{place}/r.jsonl", acknowledged - unwritten)
        shown = open(f"{place}/out.csv", "rb").read()
        # A recording that lost a run shows it all the same.
        row.check(shown in (b"before", self.files[at]) or (end.code == 1 and unwritten and shown.endswith(b"\n")), f"{what}: out.csv is neither old nor new")
        kept = f"{place}/.local/share/harness/recordings/baselines/main.jsonl"
        bench.whole(row, what, kept, self.old)
        bench.whole(row, what, kept.replace("main", "other"), *[self.old] if at == 3 and end.code == 0 else [self.old, None])
        left = [name for name in [*os.listdir(place), *os.listdir(os.path.dirname(kept))] if name.endswith(".new")]
        row.check(not left, f"{what}: {left} left behind")
        if end.code == 0:
            if at == 0:
                row.check(bench.runs_in(place, "r.jsonl") == (RUNS, "complete"), f"{what}: exit 0, and not all is recorded: {end.last_words()}")
            row.check(end.stdout == self.stdout[at], f"{what}: exit 0, and stdout lacks something")
            row.check(at > 1 or shown == self.files[at], f"{what}: exit 0, and out.csv is not written")


def tool():
    strace = need("strace")
    tried = subprocess.run([strace, "-f", "-o", "/dev/null", "-e", "inject=sync:error=EIO", "true"], capture_output=True, text=True)
    if tried.returncode:
        raise Skipped(f"strace can't trace here: {tried.stderr.strip()[:80]}")
    return strace


def inject(calls, error, when, place):
    """strace's options; what is injected is also what is traced."""
    options = ["-e", f"trace={calls},rt_sigaction"]
    # Linux says that brk failed by where the break still is. The C library takes an error for an address.
    failing = [call for call in calls.split(",") if call != "brk"]
    options += ["-e", f"inject={','.join(failing)}:error={error}:when={when}"]
    if "brk" in calls.split(","):
        options += ["-e", f"inject=brk:retval=0:when={when}"]
    if calls == "close":
        # Of files: that of a folder fails on no file system, and the standard library panics by it.
        options += [word for name in ("r.jsonl", "out.csv", "old.jsonl") for word in ("-P", f"{place}/{name}")]
    return options


def failing(calls, error, first, most):
    def body(bench, row):
        strace, commands = tool(), Commands(bench)
        numbers = range(first, most + 1) if bench.full else (first, bench.random.randrange(first + 1, first + 10))
        before_ours = 0
        for at, arguments in enumerate(commands.all):
            for number in numbers:
                for when in (f"{number}", f"{number}+") if number % 10 == 1 else (f"{number}",):
                    place = bench.place()
                    commands.before(place)
                    log = f"{bench.root.name}/strace.log"
                    # Where little memory is left, each piece takes several calls, and each call of them strace's time.
                    end = bench.run(place, *arguments, prefix=[strace, "-f", "-o", log, *inject(calls, error, when, place)], timeout=240)
                    with open(log, errors="replace") as file:
                        calls_made = file.read()
                    injected = "\n".join(line for line in calls_made.splitlines() if "(INJECTED)" in line)
                    if injected and calls != "close" and OURS not in calls_made:
                        before_ours += 1
                    elif injected:
                        commands.look(row, f"{arguments[0]}: {calls} number {when} fails with {error}", at, place, end, injected)
                    bench.done(place)
        if before_ours:
            row.note = f"{before_ours} more ended in the system's loader or the standard library's start, before harness began"
    return body


def from_now(bench, row):
    strace = tool()
    tried = subprocess.Popen(["sleep", "1"])
    attached = subprocess.run([strace, "-o", "/dev/null", "-p", str(tried.pid)], capture_output=True, text=True)
    tried.wait()
    if "attached" not in attached.stderr:
        raise Skipped(f"strace can't attach here: {attached.stderr.strip()[:80]}")
    runs = 60
    for calls, error in FROM_NOW if bench.full else bench.random.sample(FROM_NOW, 3):
        for trial in range(bench.times(1, 6)):
            place = bench.place()
            what = f"{calls} fails with {error} in mid-run, {trial}"
            running = bench.start(place, *work(runs, 5, 2, "2ms"), "--recording", "r.jsonl", "--report", "csv")
            running.wait_for_runs(1)
            time.sleep(bench.random.uniform(0, 0.3))
            log = f"{bench.root.name}/strace.log"
            when = "1+" if trial % 2 == 0 else f"{bench.random.randrange(1, 20)}"
            tracer = subprocess.Popen([strace, "-f", "-o", log, *inject(calls, error, when, place), "-p", str(running.process.pid)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            end = running.end(240)
            tracer.wait(30)
            with open(log, errors="replace") as file:
                injected = [line for line in file if "(INJECTED)" in line]
            if injected:
                # What is not shown on stderr can't be asked for a sentence there.
                bench.judge(row, what, end, (0, 1), sentence=not any("write(2" in line for line in injected))
                unwritten = "could not be written" in end.stderr
                status = bench.readable(row, what, place, f"{place}/r.jsonl", end.acknowledged - unwritten)
                if end.code == 0:
                    row.check(bench.runs_in(place, "r.jsonl") == (runs, "complete"), f"{what}: exit 0, and {status}: {end.last_words()}")
                    row.check(end.stdout.startswith("metric,unit,value"), f"{what}: exit 0, and no report")
                left = [name for name in os.listdir(place) if name.endswith(".new")]
                row.check(not left, f"{what}: {left} left behind")
            bench.done(place)


FAULTS = [
    ("calls fail from a moment of a run on", f"strace, attached: {', '.join(f'`{calls}` with {error}' for calls, error in FROM_NOW)}; once, or from there on", from_now),
    *(
    (f"`{calls}` fails with {error}", f"strace: call {first} to {most} of each thread, every tenth also from there on; `run`, `report`, `baseline save`", failing(calls, error, first, most))
    for calls, error, first, most in CALLS
    ),
]
