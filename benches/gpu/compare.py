#!/usr/bin/env python3
"""Times a harness binary and its peers in turn on one NVIDIA GPU, round after round, and prints ratios with their spread.

Usage: compare.py BINARY [--rounds N] [--only WORK,...] [--minutes N] [--json OUT]      (Python's standard library only)

The peers in peers/ need torch and transformers in the Python that runs this. What can't run is SKIP with the reason; exit 1 if
anything that could run failed. README.md beside this says how to read what is printed.
"""
import argparse, datetime, json, os, platform, shutil, statistics, subprocess, sys, sysconfig, tempfile, time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
MOST_SECONDS = 300  # of one program
MOST_OVERHEAD = 30e-6  # seconds of a request that are the host's: latency minus device time


class Work(NamedTuple):
    """One row of the table. The figures are in `unit`: 'us' is microseconds a token, 'tokens/s' of all sequences."""

    name: str
    model: str
    dtype: str
    batch: int
    unit: str
    runs: int
    iterations: int
    peer_iterations: int
    prompt: int = 5
    new: int = 50
    eager: bool = False  # whether transformers' eager generate() runs, too

    def reads_prompt(self):
        return self.new == 1

    def weights(self):
        return f"{self.model} {self.dtype}"


WORKS = [
    Work("f16-b1", "gpt2", "f16", 1, "us", 10, 100, 50, eager=True),
    Work("f32-b1", "gpt2", "f32", 1, "us", 10, 100, 50),
    Work("f16-b8", "gpt2", "f16", 8, "tokens/s", 3, 50, 50),
    Work("f16-b64", "gpt2", "f16", 64, "tokens/s", 3, 50, 50),
    Work("f16-prompt512", "gpt2", "f16", 1, "tokens/s", 3, 100, 50, prompt=512, new=1),
    Work("medium-f16-b1", "gpt2-medium", "f16", 1, "us", 3, 50, 50),
    Work("xl-f16-b1", "gpt2-xl", "f16", 1, "us", 3, 20, 20),
]
CANDLE = (1, 10)  # runs and iterations; it is the reference, and slow

GRAPH, COMPILED, EAGER = "torch-cuda-graph", "torch-cuda-graph+compile", "transformers-eager"


class Failed(Exception):
    """A program that could run, and did not do its work."""


def say(*text):
    print(*text, file=sys.stderr, flush=True)


def output(*command, timeout=60):
    """What a command prints, or nothing."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        return result.stdout.strip() if result.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def execute(command, folder, environment=None):
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=MOST_SECONDS,
                                env={**os.environ, **(environment or {})})
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {MOST_SECONDS} s") from None
    if result.returncode != 0:
        raise Failed(f"exit {result.returncode}: {result.stderr.strip()[-1000:]}")
    return result.stdout


# The programs: each returns a list of results, a dictionary with 'program' and 'figure', or 'program' and 'error'.


def memory_roof(binary, work, folder):
    """The harness's own facts of this card's memory and of what decoding must read of it: `--roofline`, apart from what is timed."""
    path = os.path.join(folder, f"roofline-{work.model}-{work.dtype}.jsonl")
    execute([binary, "run", "--quick", "--quiet", "--roofline", "--backend", "fused", "--device", "cuda:0", "--model", work.model, "--dtype",
             work.dtype, "--recording", path], folder)
    with open(path) as file:
        facts = json.loads(file.readline())["facts"]
    return {name: float(facts[f"roofline.{name}"]) for name in ("bandwidth", "step_bytes", "sequence_bytes", "position_bytes")}


def limit(work, roof):
    """The least time for what must be read of memory, in the unit of the figures: weights once for the prompt, which gives the first token,
    and once for each token after it, and for these the keys and values before them. None of a prompt, which is not limited by memory."""
    if work.reads_prompt():
        return None
    steps = work.new - 1
    positions = steps * work.prompt + steps * (steps - 1) // 2
    sequence = steps * roof["sequence_bytes"] + positions * roof["position_bytes"]
    seconds = (work.new * roof["step_bytes"] + work.batch * sequence) / roof["bandwidth"]
    return 1e6 * seconds / work.new if work.unit == "us" else work.batch * work.new / seconds


def run_harness(binary, backend, work, folder, number):
    runs, iterations = (work.runs, work.iterations) if backend == "fused" else CANDLE
    path = os.path.join(folder, f"{number}.jsonl")
    settings = {"runs": runs, "iterations": iterations, "prompt-tokens": work.prompt, "max-new-tokens": work.new, "batch": work.batch}
    execute([binary, "run", "--quiet", "--backend", backend, "--device", "cuda:0", "--model", work.model, "--dtype", work.dtype,
             "--recording", path, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))], folder)
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    facts, end = lines[0]["facts"], lines[-1]
    values = [line["values"] for line in lines if line["type"] == "run"]
    if end.get("status") != "complete" or len(values) != runs:
        raise Failed(f"the recording is {end.get('status')}, with {len(values)} of {runs} runs")
    for name, expected in (("new_tokens", work.new), ("prompt_tokens", work.prompt)):
        counted = {run[name] for run in values}
        if counted != {iterations * work.batch * expected}:
            raise Failed(f"{name} of a run are {counted}, not {iterations * work.batch * expected}")
    # The plugin's own averages over the runs: what it prints.
    average = {reading["name"]: reading["value"] for reading in end["summary"]}
    if work.reads_prompt():
        figure = work.batch * work.prompt / average["time_to_first_token"]
    elif work.unit == "us":
        figure = 1e6 * average["latency"] / work.new
    else:
        figure = average["tokens_per_second"]
    overhead = [run["latency"] - run["device_time"] for run in values if "device_time" in run]
    return [{"program": backend, "figure": figure, "overhead": statistics.mean(overhead) if overhead else None, "facts": facts,
             "summary": average, "runs": values}]


def run_graph(work, folder, no_compiler):
    # The prompt is read outside of the compiled step, so compiling would change nothing there.
    compiled = not no_compiler and not work.reads_prompt()
    out = execute([sys.executable, os.path.join(HERE, "peers/torch_graph_gpt2.py"), "--size", work.model, "--dtype", work.dtype,
                   "--batch", str(work.batch), "--prompt-len", str(work.prompt), "--new", str(work.new),
                   "--iters", str(work.peer_iterations)], folder, None if compiled else {"TORCHDYNAMO_DISABLE": "1"})
    results = [peer_result(line, work) for line in out.splitlines() if line.startswith("{")]
    wanted = [GRAPH, COMPILED] if compiled else [GRAPH]
    return expect(wanted, [result for result in results if result["program"] in wanted])


def run_eager(work, folder):
    out = execute([sys.executable, os.path.join(HERE, "peers/hf_gpt2.py"), "--size", work.model, "--dtypes", work.dtype, "--modes", "eager",
                   "--batch", str(work.batch), "--prompt-len", str(work.prompt), "--new", str(work.new), "--runs", "1", "--iters", "5",
                   "--warmup", "2"], folder)
    return expect([EAGER], [peer_result(line, work) for line in out.splitlines() if line.startswith("{")])


def expect(programs, results):
    there = [result["program"] for result in results]
    return results + [{"program": name, "error": "it printed no figure"} for name in programs if name not in there]


def peer_result(line, work):
    told = json.loads(line)
    if told["peer"] == "transformers":
        name = f"transformers-{told['mode']}"
    else:
        name = COMPILED if told.get("compiled") else told["peer"]
    if "error" in told:
        return {"program": name, "error": told["error"]}
    latency = told["p50_ms"] / 1e3
    if work.reads_prompt():
        figure = work.batch * work.prompt / latency
    else:
        figure = 1e6 * latency / work.new if work.unit == "us" else work.batch * work.new / latency
    return {"program": name, "figure": figure, "told": told}


def peers_absent():
    """Versions of what the peers need, and for each peer why it can't run."""
    code = "import json, {0} as m; print(json.dumps(m.__version__))"
    versions, absent = {}, {}
    for name in ("torch", "transformers"):
        told = output(sys.executable, "-c", code.format(name), timeout=120)
        versions[name] = json.loads(told.splitlines()[-1]) if told else None
    python = f"this Python ({sys.executable})"
    if not versions["torch"]:
        absent[GRAPH] = f"{python} can't import torch"
    elif output(sys.executable, "-c", "import torch; print(torch.cuda.is_available())", timeout=120) != "True":
        absent[GRAPH] = f"torch {versions['torch']} can use no GPU"
    elif not any(map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")))):
        absent[COMPILED] = "torch.compile needs a C compiler, and there is none"
    elif not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        absent[COMPILED] = f"torch.compile needs the headers of {python}, and there are none"
    if GRAPH in absent:
        absent[COMPILED] = absent[EAGER] = absent[GRAPH]
    elif not versions["transformers"]:
        absent[EAGER] = f"{python} can't import transformers"
    return versions, absent


def gather(binary, devices, versions):
    """Facts of the machine."""
    gpu, nvml = devices["cuda"][0], devices["nvml"] or {}
    facts = {"GPU": gpu["name"], "driver": nvml.get("driver_version"), "CUDA": nvml.get("cuda_version")}
    asked = ["clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem", "power.limit", "persistence_mode"]
    told = output("nvidia-smi", f"--id={gpu['uuid']}", f"--query-gpu={','.join(asked)}", "--format=csv,noheader")
    told = dict(zip(asked, told.split(", "))) if told else {}
    facts["clocks before"] = told and (f"SM {told['clocks.sm']} of {told['clocks.max.sm']}, memory {told['clocks.mem']} of "
                                       f"{told['clocks.max.mem']}, power limit {told['power.limit']}, "
                                       f"persistence mode {told['persistence_mode']}")
    facts["host"] = f"{platform.node()}, {devices['cpu']['cores']} cores, {platform.system()} {platform.release()}"
    facts["date"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    facts["harness"] = output(binary, "--version")
    commit = output("git", "-C", HERE, "rev-parse", "--short=12", "HEAD")
    facts["checkout"] = commit and commit + ("-dirty" if output("git", "-C", HERE, "status", "--porcelain") else "")
    facts["peers"] = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    facts["python"] = platform.python_version()
    return {name: value for name, value in facts.items() if value}


# What is printed.


def number(value, unit):
    if unit == "tokens/s":
        return f"{value:,.0f}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def spread(values, shown):
    return f"{shown(min(values))}..{shown(max(values))}"


def ratios(work, harness, peer):
    """How many times as fast as a peer the harness was, for each round that both have."""
    both = sorted(harness.keys() & peer.keys())
    return [peer[r] / harness[r] if work.unit == "us" else harness[r] / peer[r] for r in both]


def summarise(works, results, roofs):
    """A dictionary a work item: medians, spreads and ratios, from the figures of all rounds."""
    rows = []
    for work in works:
        figures, overheads = {}, []
        for result in results:
            if result["work"] == work.name and "figure" in result:
                figures.setdefault(result["program"], {})[result["round"]] = result["figure"]
                if result["program"] == "fused" and result["overhead"] is not None:
                    overheads.append(result["overhead"])
        medians = {name: statistics.median(rounds.values()) for name, rounds in figures.items()}
        peers = {name: value for name, value in medians.items() if name not in ("fused", "candle")}
        best = (min if work.unit == "us" else max)(peers, key=peers.get) if peers else None
        least = limit(work, roofs[work.weights()]) if work.weights() in roofs else None
        row = {"work": work.name, "unit": work.unit, "limit": least, "figures": figures, "medians": medians, "best_peer": best,
               "ratios": {name: ratios(work, figures.get("fused", {}), rounds) for name, rounds in figures.items() if name != "fused"},
               "share_of_limit": None, "overhead": overheads, "overhead_too_long": any(o >= MOST_OVERHEAD for o in overheads)}
        if least and "fused" in medians:
            row["share_of_limit"] = least / medians["fused"] if work.unit == "us" else medians["fused"] / least
        rows.append(row)
    return rows


def table(header, rows):
    """Markdown whose columns are aligned; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    line = lambda cells: "| " + " | ".join(
        cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(cells, widths))) + " |"
    rule = "| " + " | ".join("-" * width if index == 0 else "-" * (width - 1) + ":" for index, width in enumerate(widths)) + " |"
    print("\n".join([line(header), rule, *map(line, rows)]), flush=True)


def show(rows):
    dash = "–"
    times = lambda value: f"{value:.2f}"
    compared, programs = [], []
    for row in rows:
        unit, medians, best = row["unit"], row["medians"], row["best_peer"]
        shown = lambda value: number(value, unit)
        unit_name = "µs a token" if unit == "us" else unit
        harness = row["figures"].get("fused", {})
        ratio = row["ratios"].get(best, [])
        overhead = dash
        if row["overhead"]:
            overhead = f"{1e6 * max(row['overhead']):.1f} µs" + (" TOO LONG" if row["overhead_too_long"] else "")
        compared.append([
            row["work"], unit_name, shown(row["limit"]) if row["limit"] else dash,
            shown(medians["fused"]) if harness else dash, spread(harness.values(), shown) if harness else dash,
            shown(medians[best]) if best else dash, best or dash, times(statistics.median(ratio)) if ratio else dash,
            spread(ratio, times) if ratio else dash, f"{100 * row['share_of_limit']:.0f} %" if row["share_of_limit"] else dash, overhead])
        for name, rounds in row["figures"].items():
            against = row["ratios"].get(name, [])
            programs.append([f"{row['work']}, {name}", unit_name, shown(medians[name]), spread(rounds.values(), shown), str(len(rounds)),
                             f"{times(statistics.median(against))} ({spread(against, times)})" if against else dash])
    print()
    table(["work", "unit", "limit", "harness", "min..max", "best peer", "its name", "harness / peer", "min..max", "of the limit",
           "host overhead"], compared)
    print()
    table(["every program", "unit", "median", "min..max", "rounds", "harness / it"], programs)
    print()


def main():
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stderr.reconfigure(encoding="utf-8")
    names = [work.name for work in WORKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", metavar="BINARY")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="default 2; every other one in reverse order")
    parser.add_argument("--only", metavar="WORK,...", help=f"of {', '.join(names)}")
    parser.add_argument("--minutes", type=float, metavar="N", help="start no program after that time; what is left out is SKIP")
    parser.add_argument("--json", metavar="OUT", help="where everything is written, anew after each program")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else names
    if unknown := set(wanted) - set(names):
        parser.error(f"no work is named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    works = [work for work in WORKS if work.name in wanted]
    binary = os.path.abspath(arguments.binary)
    start = time.monotonic()

    try:
        devices = json.loads(execute([binary, "devices", "--json"], None))
    except (Failed, OSError, ValueError) as error:
        print(f"FAIL  {binary} devices --json: {error}")
        return 1
    if not devices["cuda"]:
        print(f"SKIP  everything: {devices['cuda_absent'] or 'there is no NVIDIA GPU'}")
        return 0
    backends = devices["cuda"][0]["backends"]
    if "fused" not in backends:
        print(f"SKIP  everything: for cuda:0 this binary has {', '.join(backends) or 'no backend'}, not fused")
        return 0
    versions, skipped = peers_absent()
    if "candle" not in backends:
        skipped["candle"] = f"for cuda:0 this binary has {', '.join(backends)}"
    document = {"facts": gather(binary, devices, versions), "rounds": arguments.rounds, "skipped": skipped, "failures": [],
                "roofs": {}, "results": []}
    for name, value in document["facts"].items():
        print(f"{name:14}{value}")
    for name, reason in skipped.items():
        print(f"SKIP  {name}: {reason}", flush=True)

    def save():
        document["seconds"] = time.monotonic() - start
        document["table"] = summarise(works, document["results"], document["roofs"])
        if arguments.json:
            with open(arguments.json, "w") as file:
                json.dump(document, file, indent=1)

    def run(work, program, round, folder):
        began = time.monotonic()
        try:
            if program == GRAPH:
                results = run_graph(work, folder, COMPILED in skipped)
            elif program == EAGER:
                results = run_eager(work, folder)
            else:
                results = run_harness(binary, program, work, folder, len(document["results"]))
        except Exception as error:  # whatever it is, the other programs still run
            name = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
            results = [{"program": program, "error": f"{name}{error}"}]
        seconds = time.monotonic() - began
        for result in results:
            result |= {"work": work.name, "round": round, "seconds": seconds}
            document["results"].append(result)
            where = f"{work.name}, {result['program']}, round {round}"
            if "error" in result:
                document["failures"].append(f"{where}: {result['error']}")
                print(f"FAIL  {where}: {result['error']}", flush=True)
            else:
                say(f"      {where}: {number(result['figure'], work.unit)} {work.unit} ({seconds:.0f} s)")
        save()

    save()
    with tempfile.TemporaryDirectory() as folder:
        for work in {work.weights(): work for work in works}.values():
            try:
                document["roofs"][work.weights()] = memory_roof(binary, work, folder)
            except Exception as error:
                document["failures"].append(f"the memory's limit of {work.weights()}, of which no share is shown: {error}")
                print(f"FAIL  {document['failures'][-1]}", flush=True)
        save()
        order = [name for name in ("fused", "candle", GRAPH, EAGER) if name not in skipped]
        for round in range(1, arguments.rounds + 1):
            for work in works:
                for program in order if round % 2 else reversed(order):
                    if program == EAGER and not work.eager:
                        continue
                    if arguments.minutes is not None and time.monotonic() - start > 60 * arguments.minutes:
                        what = f"{work.name}, {program}, round {round}"
                        skipped[what] = f"{arguments.minutes:g} minutes are over"
                        print(f"SKIP  {what}: {skipped[what]}", flush=True)
                        continue
                    run(work, program, round, folder)
    save()
    show(document["table"])
    rates = [roof["bandwidth"] / 1e9 for roof in document["roofs"].values()]
    if rates:
        print(f"memory read by the harness, for the limits: {spread(rates, lambda value: f'{value:,.0f}')} GB/s")
    clocks = [values["sm_clock"] / 1e6 for result in document["results"] for values in result.get("runs", []) if "sm_clock" in values]
    if clocks:
        print(f"SM clock in the harness's runs: {spread(clocks, lambda value: f'{value:,.0f}')} MHz")
    slow = [row["work"] for row in document["table"] if row["overhead_too_long"]]
    if slow:
        print(f"The host takes {1e6 * MOST_OVERHEAD:.0f} µs of a request or more: {', '.join(slow)}")
    failures = len(document["failures"])
    print(f"{'FAILED' if failures else 'DONE'}: {failures} failed, {document['seconds']:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
