"""What every fault needs: a user's folder, the binary in it, and the rules by which an end is judged."""
import json, os, random, re, shutil, signal, subprocess, tempfile, threading, time

# A finished run, as stderr acknowledges it.
ACKNOWLEDGED = re.compile(r"^run \d+(?:/\d+)?(?: '.*')?: [\d,]+(?: of [\d,]+)? iterations in ", re.M)
TEMPORARY = re.compile(r"\.harness-[0-9A-Za-z]{6}\.new")


class Skipped(Exception):
    """This machine can't make the fault."""


class Row:
    """One fault: how often it was tried, and what went wrong."""

    def __init__(self, fault, how):
        self.fault, self.how, self.tries, self.problems, self.note, self.skipped = fault, how, 0, [], "", None

    def check(self, holds, problem):
        if not holds:
            self.problems.append(problem)
        return holds

    def markdown(self):
        lost = f"SKIPPED: {self.skipped}" if self.skipped else "nothing" if not self.problems else "; ".join(self.problems[:3])
        if len(self.problems) > 3:
            lost += f"; and {len(self.problems) - 3} more"
        if self.note and not self.skipped:
            lost += f". {self.note}"
        cell = lambda text: " ".join(text.split()).replace("|", "\\|")
        return f"| {cell(self.fault)} | {cell(self.how)} | {self.tries} | {cell(lost)} |"


class End:
    """How a command ended. `code` is None where it did not within its time."""

    def __init__(self, code, stdout, stderr, seconds, peak=0):
        self.code, self.stdout, self.stderr, self.seconds, self.peak = code, stdout, stderr, seconds, peak

    @property
    def acknowledged(self):
        return len(ACKNOWLEDGED.findall(self.stderr))

    def last_words(self):
        return self.stderr.strip()[-300:] or "(nothing on stderr)"


class Running:
    """A command that runs. What it prints is read all the time; a file would have the command's own limits."""

    def __init__(self, arguments, folder, env, unread=()):
        self.start = time.monotonic()
        # A group of its own: what is killed is this command and what it started.
        self.process = subprocess.Popen(arguments, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        self.printed = {name: bytearray() for name in ("stdout", "stderr")}
        self.readers = [threading.Thread(target=self.read, args=(name,), daemon=True) for name in self.printed if name not in unread]
        for reader in self.readers:
            reader.start()

    def read(self, name):
        pipe = getattr(self.process, name)
        while piece := os.read(pipe.fileno(), 1 << 16):
            self.printed[name] += piece

    def send(self, number):
        try:
            self.process.send_signal(number)
        except ProcessLookupError:
            pass

    def text(self, name):
        return bytes(self.printed[name]).decode(errors="replace")

    def wait_for_runs(self, runs, seconds=60):
        """Until so many runs are acknowledged, or the command ended."""
        deadline = time.monotonic() + seconds
        while len(ACKNOWLEDGED.findall(self.text("stderr"))) < runs and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)

    def peak(self):
        """The most memory that it held until now. What wait4 has counts what this process held when it started the command."""
        try:
            with open(f"/proc/{self.process.pid}/status") as file:
                return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:")), 0)
        except OSError:
            return 0

    def end(self, timeout=60):
        deadline, code, peak = time.monotonic() + timeout, None, 0
        while (code := self.process.poll()) is None and time.monotonic() < deadline:
            peak = max(peak, self.peak())
            time.sleep(0.002)
        seconds = time.monotonic() - self.start
        try:
            # Also what it left behind, such as children that hang.
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        if code is None:
            self.process.wait()
        for reader in self.readers:
            reader.join(10)
        for name in self.printed:
            getattr(self.process, name).close()
        return End(code, self.text("stdout"), self.text("stderr"), seconds, peak)


class Bench:
    def __init__(self, binary, full, seed, minutes):
        self.binary, self.full, self.random, self.minutes = binary, full, random.Random(seed), minutes
        self.root = tempfile.TemporaryDirectory(prefix="harness-faults-")
        self.cache = os.path.join(self.root.name, "cache")
        os.mkdir(self.cache, 0o700)

    def times(self, short, full):
        return full if self.full else short

    def place(self):
        """A user's folder: HOME and the present folder."""
        return tempfile.mkdtemp(dir=self.root.name)

    def done(self, place):
        shutil.rmtree(place, ignore_errors=True)

    def env(self, place, **more):
        env = {"HOME": place, "PATH": os.environ.get("PATH", ""), "XDG_CACHE_HOME": self.cache}
        env.update(more)
        return {key: value for key, value in env.items() if value is not None}

    def start(self, place, *arguments, prefix=(), env=None, unread=()):
        return Running([*prefix, self.binary, *arguments], place, self.env(place, **(env or {})), unread)

    def run(self, place, *arguments, timeout=60, **how):
        return self.start(place, *arguments, **how).end(timeout)

    def must(self, place, *arguments, **how):
        """What has to work before there is anything to break."""
        end = self.run(place, *arguments, **how)
        if end.code != 0:
            raise RuntimeError(f"harness {' '.join(arguments)}: exit {end.code}: {end.last_words()}")
        return end

    def judge(self, row, what, end, codes, sentence=True):
        """By the exit code, and by a sentence where it is none of success."""
        row.tries += 1
        if not row.check(end.code is not None, f"{what}: hangs"):
            return False
        if not row.check(end.code >= 0 or end.code in codes, f"{what}: ended by signal {-end.code}: {end.last_words()}"):
            return False
        row.check("panicked" not in end.stderr and "RUST_BACKTRACE" not in end.stderr, f"{what}: panics: {end.last_words()}")
        good = row.check(end.code in codes, f"{what}: exit {end.code}: {end.last_words()}")
        if sentence and end.code in (1, 2):
            row.check(any(line.startswith("error: ") for line in end.stderr.splitlines()), f"{what}: exit {end.code} without a sentence")
        return good

    def runs_in(self, place, path):
        """Runs that `report` shows of a recording, and the status in its last line, if it has one; or None and what it says."""
        end = self.run(place, "report", path, "--with", "json")
        if end.code != 0:
            return None, end.last_words()
        with open(os.path.join(place, path), "rb") as file:
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        status = json.loads(last)["status"] if last.startswith(b'{"type":"end"') else "no end"
        return len(json.loads(end.stdout)["runs"]), status

    def readable(self, row, what, place, path, acknowledged):
        """Every run that was acknowledged is there."""
        if acknowledged == 0 and (not os.path.exists(path) or b"\n" not in open(path, "rb").read()):
            return None
        runs, status = self.runs_in(place, path)
        if row.check(runs is not None, f"{what}: the recording can't be read: {status}"):
            row.check(runs >= acknowledged, f"{what}: {acknowledged} runs acknowledged, {runs} there")
        return status

    def whole(self, row, what, path, *versions):
        """A file is one of its versions (None: there is none), and no half."""
        found = open(path, "rb").read() if os.path.exists(path) else None
        return row.check(found in versions, f"{what}: {os.path.basename(path)} is neither old nor new")

    def temporaries(self, row, what, folder, expected):
        """Nothing is in a folder but what is expected and hidden temporaries, which are made old here and returned."""
        found = []
        for name in sorted(os.listdir(folder)):
            if TEMPORARY.fullmatch(name):
                found.append(name)
                os.utime(os.path.join(folder, name), (time.time() - 7200,) * 2)
            else:
                row.check(name in expected, f"{what}: {name} is left behind")
        return found

    def swept(self, row, what, folder):
        left = [name for name in os.listdir(folder) if TEMPORARY.fullmatch(name)]
        row.check(not left, f"{what}: {left} stay after the next command")


SIMULATED = ["run", "--backend", "simulated"]


def work(runs, iterations, tokens=2, real_time=None):
    """A simulated test; in real time with so much a token."""
    set_to = {"runs": runs, "iterations": iterations, "warmup": 0, "max-new-tokens": tokens}
    arguments = [*SIMULATED, *(word for key, value in set_to.items() for word in ("--set", f"{key}={value}"))]
    if real_time:
        arguments += ["--simulate", "real-time=true", "--simulate", f"time-per-token={real_time}", "--simulate", f"time-to-first-token={real_time}"]
    return arguments


def limited(limits):
    """Runs what follows under limits of the shell's `ulimit`."""
    return ["sh", "-c", f'{limits}; exec "$@"', "sh"]


def need(program):
    path = shutil.which(program)
    if path is None:
        raise Skipped(f"there is no {program}")
    return path
