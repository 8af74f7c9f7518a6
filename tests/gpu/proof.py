#!/usr/bin/env python3
"""What the figures of a harness binary are worth on this machine's GPU: each held against another way to know it, in under 4 minutes.

Usage: proof.py BINARY [--device cuda:0] [--with 'ARGS']      (Python's standard library only)

Prints rows for a table in docs/measurements.md, each with its bound and pass or FAIL; exit 1 if any failed. A machine without a GPU, or
a binary without CUDA, is SKIP with the reason and exit 0: nothing was checked and nothing passed. --with hands every test more
arguments of `harness run`; --device '' gives tests neither device nor dtype, for a rehearsal on the simulated model.
"""
import argparse, json, math, os, shlex, subprocess, sys, tempfile, time

options = argparse.ArgumentParser(usage=__doc__, add_help=False)
options.add_argument("binary")
options.add_argument("--device", default="cuda:0")
options.add_argument("--with", dest="more", default="", type=shlex.split)
options = options.parse_args()
kept = tempfile.TemporaryDirectory()  # as long as this runs
binary, folder, began = os.path.abspath(options.binary), kept.name, time.monotonic()
LIMIT = 240  # seconds for everything
LONG = 6.0  # seconds of a run whose energy and GPM are looked at: 60 steps of the energy counter
failures = 0


def harness(*args, codes=(0,)):
    left = LIMIT - (time.monotonic() - began)
    must(left > 1, f"the {LIMIT} s are over")
    result = subprocess.run([binary, *args], capture_output=True, text=True, cwd=folder, timeout=left)
    must(result.returncode in codes, f"harness {shlex.join(args)}: exit {result.returncode}: {result.stderr.strip()[-1000:]}")
    return result


def must(condition, message):
    if not condition:
        raise AssertionError(message)


def row(what, figure, bound="", passed=None):
    global failures
    failures += passed is False
    print(f"| {what} | {figure} | {bound} | {'' if passed is None else 'pass' if passed else 'FAIL'} |", flush=True)


def within(what, ratio, low, high, figures, why):
    """A row of a figure that has a least and a most; they are reasons, not wishes."""
    row(what, f"{figures}: {ratio:.3f}", f"{low} to {high}: {why}", math.isfinite(ratio) and low <= ratio <= high)


def part(title, function):
    try:
        function()
    except Exception as error:
        text = str(error).replace("|", "/").replace("\n", " ")
        row(title, f"{type(error).__name__}: {text}", "it can be done", False)


class Recording:
    def __init__(self, name, dtype, *args):
        self.path = os.path.join(folder, name + ".jsonl")
        where = ["--device", options.device, "--dtype", dtype] if options.device else []
        harness("run", "--quiet", *where, "--recording", self.path, *options.more, *args)
        lines = [json.loads(line) for line in open(self.path)]
        self.facts, self.runs = lines[0]["facts"], [line for line in lines if line["type"] == "run"]
        must(lines[-1]["status"] == "complete", lines[-1])

    def value(self, run, metric):
        must(metric in run["values"], f"{metric} is absent: {run['absent'].get(metric)}")
        return run["values"][metric]

    def mean(self, metric):
        return sum(self.value(run, metric) for run in self.runs) / len(self.runs)

    def fact(self, name):
        must(name in self.facts, f"the recording has no fact {name}")
        return float(self.facts[name])


def compared(base, new, *args, codes=(0,)):
    return json.loads(harness("compare", base.path, new.path, "--format", "json", *args, codes=codes).stdout)["comparisons"][0]


def change(metric):
    """Of a base of 0 there is no share, and no interval of one."""
    share, interval = metric["change"], metric["interval"] or {}
    share = "no share" if share is None else f"{100 * share:+.2f} %"
    ends = [interval.get(end) for end in ("low", "high")]
    return share + (" ({:+.2f} to {:+.2f})".format(*(100 * end for end in ends)) if None not in ends else "") + f", {metric['verdict']}"


def same_twice():
    new = Recording("again", "f16")
    comparison = compared(f16, new, "--metric", "latency", "--metric", "throughput", "--fail-on-regression", "2", codes=(0, 3))
    must(len(comparison["metrics"]) == 2, comparison["metrics"])
    for metric in comparison["metrics"]:
        row(f"the documented test twice: {metric['metric']}", change(metric), "same, within 1 %", metric["verdict"] == "same")


def another_dtype():
    for metric in compared(f16, Recording("bf16", "bf16"))["metrics"]:
        if metric["verdict"]:
            row(f"bf16 beside f16: {metric['metric']}", change(metric))


GPU_CHECKS = {"gpu-processes", "persistence-mode", "ecc", "mig", "power-limit", "clocks", "temperature", "pcie-width", "pcie-generation"}


def doctor():
    found = json.loads(harness("doctor", "--json").stdout)
    must(found["gpus"], f"no GPU was looked at: {found['machine']}")
    for gpu in found["gpus"]:
        missing = GPU_CHECKS - {check["name"] for check in gpu["checks"]}
        silent = [c["name"] for c in gpu["checks"] if c["verdict"] in ("note", "warning") and not (c["means"] and c["advice"])]
        row("doctor looks at everything, and says what to do", gpu["gpu"], "9 checks", not missing and not silent)
    for check in [*found["machine"], *(check for gpu in found["gpus"] for check in gpu["checks"])]:
        row(f"doctor: {check['name']}", f"{check['verdict']}: {check['found']}".replace("|", "/"))


def sensors():
    iterations = max(10, math.ceil(LONG / f16.mean("latency")))
    long = Recording("long", "f16", "--roofline", "--set", "runs=3", "--set", f"iterations={iterations}")
    run = long.runs[-1]
    wall, tokens = run["wall_time"], long.value(run, "new_tokens")
    row("a run for energy and GPM", f"{iterations} requests in {wall:.2f} s", "over 3 s", wall > 3)
    if "idle.power" in long.facts:
        row("idle before the test", f"{long.facts['idle.power']} W ({long.facts['idle.source']}, {long.facts['idle.time']} s)")

    def energy():
        counted, sampled = long.value(run, "energy_per_token"), long.value(run, "power") * wall / tokens
        within("energy counter / mean sampled power x time, a token", counted / sampled, 0.95, 1.05,
               f"{1e3 * counted:.2f} / {1e3 * sampled:.2f} mJ", "a step of the counter is 2 % of a run; power is seen for a part of the time")

    step, sequence, position = (long.fact(f"roofline.{name}_bytes") for name in ("step", "sequence", "position"))
    prompts, news = (run["samples"][metric]["values"] for metric in ("prompt_tokens", "new_tokens"))

    def decoding(prompt, new):
        """Bytes of the steps after the first token, by hand; of a batch of 1."""
        steps = new - 1
        return steps * (step + sequence) + (steps * prompt + steps * (steps - 1) / 2) * position

    decoded, bandwidth = sum(map(decoding, prompts, news)), long.fact("roofline.bandwidth")

    def share():
        between = sum(run["samples"]["inter_token_latency"]["values"])
        rate, said = decoded / between, long.value(run, "memory_limit_share")
        steps = sum(news) - len(news)
        row("bytes a token must move / time between tokens",
            f"{decoded / steps / 1e6:.1f} MB / {1e6 * between / steps:.1f} us = {rate / 1e9:.0f} GB/s")
        within("memory_limit_share beside the same by hand", said / (rate / bandwidth), 0.999, 1.001,
               f"{said:.4f} / {rate / bandwidth:.4f}", "the same sum")
        row("memory_limit_share", f"{100 * said:.1f} %", "up to 102 %: nothing is faster than the limit but for its own spread",
            0 < said <= 1.02)

    def counted():
        peak = 2 * long.value(run, "memory_clock") * long.fact("gpu.memory_bus_width") / 8
        spread = 100 * long.fact("roofline.spread")
        within("roofline / the memory clock's peak", bandwidth / peak, 0.75, 1.0,
               f"{bandwidth / 1e9:.0f} / {peak / 1e9:.0f} GB/s (reads differ by {spread:.1f} %)",
               "refresh and turning take 5 to 20 %, and no memory is faster than its clock")
        moved = long.value(run, "dram_bandwidth_utilization") * peak * wall
        # A prompt's pass reads the weights once, too.
        needed = decoded + len(prompts) * step
        within("GPM's bytes / bytes that must be moved, a token", moved / needed, 0.75, 1.2,
               f"{moved / tokens / 1e6:.1f} / {needed / tokens / 1e6:.1f} MB",
               "the L2 keeps up to a fifth of the weights from step to step; activations and new keys and values come on top")

    for title, function in (("energy", energy), ("memory_limit_share", share), ("GPM", counted)):
        part(title, function)
    for metric in ("sm_occupancy", "tensor_active"):
        figure = run["values"].get(metric)
        row(metric, f"absent: {run['absent'].get(metric)}" if figure is None else f"{100 * figure:.1f} %")


if options.device.startswith("cuda"):
    devices = json.loads(harness("devices", "--json").stdout)
    if not devices["cuda"]:
        print(f"SKIP  every proof: {devices['cuda_absent']}")
        sys.exit(0)
try:
    f16 = Recording("f16", "f16")
except Exception as error:
    sys.exit(f"FAILED: the documented test does not run: {error}")
gpu, driver, backend, commit = (f16.facts.get(name, "?") for name in ("gpu.name", "driver.version", "model.backend", "harness.commit"))
print(f"{gpu}, driver {driver}, backend {backend}, commit {commit}, {f16.facts['start'][:10]}\n")
print("| what | figure | bound | |\n| --- | --- | --- | --- |")
for function in (same_twice, another_dtype, doctor, sensors):
    part(function.__name__.replace("_", " "), function)
print(f"\n{'FAILED' if failures else 'PASSED'}: {failures} failed, {time.monotonic() - began:.0f} s")
sys.exit(1 if failures else 0)
