"""Small and read-only file systems, in a mount namespace of this test's own."""
import json, os, subprocess

from bench import Skipped, need, work


def namespace():
    unshare = need("unshare")
    said = ""
    for flags in ("-rm", "-m"):
        tried = subprocess.run([unshare, flags, "sh", "-c", "mount -t tmpfs -o size=16k none /mnt"], capture_output=True, text=True)
        if tried.returncode == 0:
            return [unshare, flags]
        said = tried.stderr.strip()[:80]
    raise Skipped(f"no mount namespace here: {said}")


def inside(bench, place, mount, arguments, env=None):
    """Runs the command while `mount` holds, and copies what is then in place/mnt to place/kept, as the namespace goes with it."""
    os.makedirs(f"{place}/mnt", exist_ok=True)
    os.makedirs(f"{place}/kept", exist_ok=True)
    script = f'{mount} || exit 99; "$@"; code=$?; cp -a mnt/. kept/ 2>/dev/null; exit $code'
    return bench.run(place, *arguments, prefix=[*namespace(), "sh", "-c", script, "sh"], env=env)


def tmpfs(size, more=""):
    return f"mount -t tmpfs -o size={size}{more} none mnt"


SIZES = ["4k", "16k", "32k", "64k", "128k", "256k", "512k", "1m"]


def recording_on_small(bench, row):
    for size in SIZES if bench.full else SIZES[::3]:
        for tokens in (2, 20) if bench.full else (20,):
            place = bench.place()
            end = inside(bench, place, tmpfs(size), [*work(40, 20, tokens), "--recording", "mnt/r.jsonl", "--report", "csv=out.csv"])
            what = f"tmpfs of {size}, {tokens} tokens"
            bench.judge(row, what, end, (0, 1))
            unwritten = "could not be written" in end.stderr
            bench.readable(row, what, place, f"{place}/kept/r.jsonl", end.acknowledged - unwritten)
            if end.code == 0:
                row.check(bench.runs_in(place, "kept/r.jsonl") == (40, "complete"), f"{what}: exit 0, and not all is there")
            else:
                row.check("No space left" in end.stderr, f"{what}: {end.last_words()}")
            row.check(not [n for n in os.listdir(f"{place}/kept") if n.endswith(".new")], f"{what}: a temporary is left")
            bench.done(place)


def report_on_small(bench, row):
    reference = bench.place()
    bench.must(reference, *work(100, 10), "--recording", "r.jsonl", "--report", "csv=/dev/null")
    for report in ("html", "json", "csv"):
        bench.must(reference, "report", "r.jsonl", "--with", f"{report}=out.{report}")
        new = open(f"{reference}/out.{report}", "rb").read()
        for size in SIZES if bench.full else SIZES[:2]:
            place = bench.place()
            os.link(f"{reference}/r.jsonl", f"{place}/r.jsonl")
            mount = f"{tmpfs(size)} && printf before > mnt/out"
            end = inside(bench, place, mount, ["report", "r.jsonl", "--with", f"{report}=mnt/out"])
            what = f"{report} on a tmpfs of {size}"
            bench.judge(row, what, end, (0, 1))
            bench.whole(row, what, f"{place}/kept/out", new if end.code == 0 else b"before")
            row.check(os.listdir(f"{place}/kept") == ["out"], f"{what}: left {os.listdir(f'{place}/kept')}")
            bench.done(place)


def read_only(bench, row):
    bound = "mount --bind mnt mnt && mount -o remount,bind,ro mnt"
    for arguments in (
        [*work(5, 5), "--recording", "mnt/r.jsonl", "--report", "csv=/dev/null"],
        [*work(5, 5), "--recording", "mnt/deep/r.jsonl", "--report", "csv=/dev/null"],
        [*work(5, 5), "--recording", "r.jsonl", "--report", "csv=mnt/out.csv"],
        ["baseline", "save", "main", "old.jsonl"],
        [*work(5, 5), "--sweep", "batch=1,2", "--recording", "mnt/swept"],
    ):
        place = bench.place()
        bench.must(place, *work(2, 2), "--recording", "old.jsonl", "--report", "csv=/dev/null")
        env = {"HARNESS_RECORDINGS": f"{place}/mnt"}
        end = inside(bench, place, bound, arguments, env)
        bench.judge(row, " ".join(arguments[-4:]), end, (2,))
        row.check("Read-only file system" in end.stderr, f"{arguments[-4:]}: {end.last_words()}")
        row.check(not os.path.exists(f"{place}/r.jsonl"), f"{arguments[-4:]}: measured before it was refused")
        bench.done(place)


def home(bench, row):
    bound = "mount --bind mnt mnt && mount -o remount,bind,ro mnt"
    for what, mount, folder in (("read-only", bound, "mnt"), ("missing", "true", "gone"), ("none", "true", None)):
        for named in (True, False):
            place = bench.place()
            arguments = [*work(5, 5), *(["--recording", "r.jsonl"] if named else []), "--report", "csv"]
            env = {"HOME": folder and f"{place}/{folder}", "XDG_CACHE_HOME": None}
            end = inside(bench, place, mount, arguments, env)
            # A home that is not there is made, as any folder above a recording.
            codes = (0,) if named else (2,) if what == "read-only" else (0, 2)
            bench.judge(row, f"HOME {what}, {'a' if named else 'no'} recording named", end, codes)
            if named:
                row.check(bench.runs_in(place, "r.jsonl") == (5, "complete"), f"HOME {what}: not all is recorded")
            left = sorted(set(os.listdir(place)) - {"mnt", "kept", "gone", "r.jsonl"})
            row.check(not left, f"HOME {what}: {left} are left in the present folder")
            bench.done(place)


def full_cache(bench, row):
    for size in ("4k", "64k", "1m") if bench.full else ("64k",):
        place = bench.place()
        end = inside(bench, place, f"{tmpfs(size)} && chmod 700 mnt", [*work(5, 5), "--recording", "r.jsonl", "--report", "csv"],
                     {"XDG_CACHE_HOME": f"{place}/mnt"})
        bench.judge(row, f"cache of {size}", end, (0,))
        row.check(bench.runs_in(place, "r.jsonl") == (5, "complete"), f"cache of {size}: not all is recorded")
        row.check(end.stdout.startswith("metric,unit,value"), f"cache of {size}: no report: {end.last_words()}")
        bench.done(place)


FAULTS = [
    ("no space for a recording", "tmpfs of 4 KiB to 1 MiB in a mount namespace", recording_on_small),
    ("no space for a report", "the same, in the place of a file: html, json, csv", report_on_small),
    ("a read-only file system", "a read-only bind mount: recording, report, baseline, sweep", read_only),
    ("HOME read-only, missing, not set", "the same, with a recording named and without", home),
    ("a full cache folder", "tmpfs of 4 KiB to 1 MiB as XDG_CACHE_HOME", full_cache),
]
