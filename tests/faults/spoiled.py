"""Another process that does something to the recording while it is made."""
import json, os, time

from bench import work

PACED = [*work(60, 2, 2, "2ms"), "--recording", "r.jsonl", "--report", "csv"]


def truncated(path, random):
    os.truncate(path, random.randrange(os.path.getsize(path) + 1))


def emptied(path, _):
    open(path, "w").close()


def appended(path, random):
    with open(path, "ab") as file:
        file.write(random.randbytes(random.randrange(1, 5000)))


def written_over(path, random):
    with open(path, "r+b") as file:
        file.seek(random.randrange(os.path.getsize(path) + 1))
        file.write(b"\0" * random.randrange(1, 500))


def moved(path, _):
    os.rename(path, path + ".elsewhere")


def replaced(path, _):
    with open(path + ".mine", "w") as file:
        file.write("mine")
    os.rename(path + ".mine", path)


def a_folder(path, _):
    os.remove(path)
    os.mkdir(path)


def a_link_to_nothing(path, _):
    os.remove(path)
    os.symlink("nowhere", path)


def unreadable(path, _):
    os.chmod(path, 0)


def its_folder(path, _):
    os.rename(os.path.dirname(path), os.path.dirname(path) + "-elsewhere")


def by(spoil):
    def body(bench, row):
        for trial in range(bench.times(1, 20)):
            place = bench.place()
            os.mkdir(f"{place}/there")
            path = f"{place}/there/r.jsonl"
            running = bench.start(place, *work(60, 2, 2, "2ms"), "--recording", "there/r.jsonl", "--report", "csv")
            running.wait_for_runs(1)
            time.sleep(bench.random.uniform(0, 0.2))
            if running.process.poll() is None:
                spoil(path, bench.random)
            end = running.end()
            what = f"{spoil.__name__} {trial}"
            bench.judge(row, what, end, (0, 1))
            row.check(end.stdout.startswith("metric,unit,value"), f"{what}: no report")
            if end.code == 0:
                told = end.stderr.strip().splitlines()[-1]
                named = told.removeprefix("recorded in ")
                row.check(told != named and bench.runs_in(place, named) == (60, "complete"), f"{what}: exit 0, and not all is there: {end.last_words()}")
            else:
                row.check("r.jsonl" in end.stderr, f"{what}: the file is not named: {end.last_words()}")
            bench.done(place)
    return body


WAYS = [truncated, emptied, appended, written_over, os.remove, moved, replaced, a_folder, a_link_to_nothing, unreadable, its_folder]
NAMES = {"truncated": "cut", "written_over": "written over", "remove": "removed", "a_folder": "a folder takes its place",
         "a_link_to_nothing": "a link to nothing takes its place", "unreadable": "made unreadable", "its_folder": "its folder is moved"}


def removed(path, _):
    os.remove(path)


FAULTS = [
    (f"the recording: {NAMES.get(spoil.__name__, spoil.__name__)}", "by another process, at a random moment of `run`", by(spoil))
    for spoil in [removed if spoil is os.remove else spoil for spoil in WAYS]
]
