#!/usr/bin/env python3
"""Checks a harness binary on a machine with an NVIDIA GPU; one verdict line a check, exit 1 if any failed.

Usage: check.py BINARY [GOLDEN_DIR] [--full]      (Python's standard library only)

GOLDEN_DIR is tests/golden. --full adds the documented 10 x 100 in f32 and f16.  A machine without a GPU, or a binary without CUDA,
is SKIP with the reason and exit 0: nothing was checked and nothing passed.
"""
import json, math, os, subprocess, sys, tempfile

arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
if not arguments:
    sys.exit(__doc__)
binary = os.path.abspath(arguments[0])
golden = os.path.abspath(arguments[1] if len(arguments) > 1 else os.path.join(os.path.dirname(__file__), "../golden"))
full = "--full" in sys.argv
folder = tempfile.mkdtemp()
failures = 0


def run(*args, timeout=600):
    return subprocess.run([binary, *args], capture_output=True, text=True, cwd=folder, timeout=timeout)


def check(name, function):
    global failures
    try:
        note = function()
        print(f"PASS  {name}" + (f"  ({note})" if note else ""), flush=True)
    except Exception as error:
        failures += 1
        print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)


def must(condition, message):
    if not condition:
        raise AssertionError(message)


def generate(*args):
    result = run("generate", "--json", *args)
    must(result.returncode == 0, result.stderr.strip())
    return json.loads(result.stdout)


def relative(a, b):
    norm = lambda values: math.sqrt(sum(x * x for x in values))
    must(len(a) == len(b), f"{len(a)} logits, not {len(b)}")
    return norm([x - y for x, y in zip(a, b)]) / norm(b)


def golden_check(name, dtype, tolerance, same_tokens):
    def body():
        worst = 0.0
        for case in json.load(open(f"{golden}/{name}/golden.json"))["cases"]:
            out = generate("--device", "cuda:0", "--model", f"{golden}/{name}", "--dtype", dtype, "--logits", "--ignore-end-of-text",
                           "--tokens", ",".join(map(str, case["prompt"])), "--max-new-tokens", str(len(case["greedy"])))
            must(out["model"]["device"] == "cuda:0", out["model"])
            error = relative(out["logits"], case["logits"])
            worst = max(worst, error)
            must(error < tolerance, f"relative logit error {error:.2e}, not under {tolerance:.0e}")
            if same_tokens:
                must(out["tokens"] == case["greedy"], f"tokens {out['tokens']} instead of {case['greedy']}")
        return f"relative logit error {worst:.1e}"
    return body


METHOD = ["throughput", "latency", "memory_allocated", "memory_peak", "gpu_utilization", "memory_utilization"]
MORE = ["gpu_memory_used", "memory_controller_utilization", "tokens_per_second", "time_to_first_token", "inter_token_latency",
        "device_time", "prompt_tokens", "new_tokens", "energy", "energy_per_token", "power", "temperature", "sm_clock", "memory_clock",
        "throttled_time"]


def documented(*args):
    path = os.path.join(folder, f"r{len(os.listdir(folder))}.jsonl")
    result = run("run", "--device", "cuda:0", "--recording", path, *args)
    must(result.returncode == 0, result.stderr.strip()[-2000:])
    lines = [json.loads(line) for line in open(path)]
    runs = [line for line in lines if line["type"] == "run"]
    return result, lines[0]["facts"], runs, lines[-1]


def metrics_check(*args, runs_expected):
    def body():
        result, facts, runs, end = documented(*args)
        must(end["status"] == "complete" and len(runs) == runs_expected, f"{end['status']}, {len(runs)} runs")
        missing = {m: r["absent"].get(m) for r in runs for m in METHOD + MORE if m not in r["values"]}
        must(not missing, f"absent: {missing}")
        for name in ("driver.version", "cuda.version", "gpu.name", "gpu.uuid", "gpu.vbios", "gpu.power_limit", "gpu.ecc"):
            must(name in facts, f"no fact {name}")
        for r in runs:
            must(0 < r["values"]["memory_allocated"] <= r["values"]["memory_peak"], "allocated over peak")
            must(r["values"]["memory_peak"] <= r["values"]["gpu_memory_used"] * 1.01, "this process holds more than the GPU has in use")
            must(r["values"]["device_time"] <= r["values"]["latency"] * 1.02, "device time over latency")
        print(result.stdout)
        return f"{facts['gpu.name']}, driver {facts['driver.version']}"
    return body


def refused(expected, *args, code=2):
    def body():
        result = run(*args)
        must(result.returncode == code, f"exit {result.returncode}: {result.stderr}")
        must(expected in result.stderr and "panicked" not in result.stderr, result.stderr)
        return result.stderr.strip()
    return body


devices = json.loads(run("devices", "--json").stdout)
if not devices["cuda"]:
    print(f"SKIP  every check of the GPU: {devices['cuda_absent']}")
    sys.exit(0)
print(f"GPU   {devices['cuda'][0]['name']}, driver {(devices['nvml'] or {}).get('driver_version')}")

for name in ("prefixed-f32", "bare-f16"):
    check(f"{name} in f32: tokens equal, logits to 1e-4", golden_check(name, "f32", 1e-4, True))
    check(f"{name} in f16: logits to 2e-3", golden_check(name, "f16", 2e-3, False))
    check(f"{name} in bf16: logits to 2e-2", golden_check(name, "bf16", 2e-2, False))
check("CUDA's and NVML's lists name the same GPU",
      lambda: must({d["uuid"] for d in devices["cuda"]} <= {g["uuid"] for g in devices["nvml"]["gpus"]}, devices))
check("every metric is there in a quick run", metrics_check("--quick", "--set", "iterations=20", "--dtype", "f16", runs_expected=2))
check("a GPU that is not there is refused", refused("cuda:7", "run", "--quick", "--device", "cuda:7"))
check("a batch that does not fit says how much was needed",
      refused("out of memory", "run", "--quick", "--device", "cuda:0", "--model", "gpt2-xl", "--set", "batch=4096", "--set",
              "prompt-tokens=900", code=1))
if full:
    for dtype in ("f32", "f16"):
        check(f"the documented 10 x 100 in {dtype}", metrics_check("--dtype", dtype, runs_expected=10))
print(f"{'FAILED' if failures else 'PASSED'}: {failures} failed")
sys.exit(1 if failures else 0)
