#!/usr/bin/env python3
"""Checks a harness binary on a machine with an NVIDIA GPU; one verdict line a check, exit 1 if any failed.

Usage: check.py BINARY [GOLDEN_DIR] [--full]      (Python's standard library only)

GOLDEN_DIR is tests/golden. Each backend that the binary has for the GPU is checked, fused and candle. --full adds the documented
10 x 100 in f32 and f16.  A machine without a GPU, or a binary without CUDA, is SKIP with the reason and exit 0: nothing was checked
and nothing passed.
"""
import json, math, os, subprocess, sys, tempfile

arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
if not arguments:
    sys.exit(__doc__)
binary = os.path.abspath(arguments[0])
golden = os.path.abspath(arguments[1] if len(arguments) > 1 else os.path.join(os.path.dirname(__file__), "../golden"))
full = "--full" in sys.argv
kept = tempfile.TemporaryDirectory()  # as long as this runs
folder = kept.name
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


def golden_check(backend, name, dtype, tolerance, same_tokens, *more):
    def body():
        worst = 0.0
        for case in json.load(open(f"{golden}/{name}/golden.json"))["cases"]:
            out = generate("--backend", backend, "--device", "cuda:0", "--model", f"{golden}/{name}", "--dtype", dtype, "--logits",
                           "--ignore-end-of-text", "--tokens", ",".join(map(str, case["prompt"])),
                           "--max-new-tokens", str(len(case["greedy"])), *more)
            must((out["model"]["backend"], out["model"]["device"]) == (backend, "cuda:0"), out["model"])
            error = relative(out["logits"], case["logits"])
            worst = max(worst, error)
            must(error < tolerance, f"relative logit error {error:.2e}, not under {tolerance:.0e}")
            if same_tokens:
                must(out["tokens"] == case["greedy"], f"tokens {out['tokens']} instead of {case['greedy']}")
        return f"relative logit error {worst:.1e}"
    return body


PROMPT = ["--model", "gpt2", "--ignore-end-of-text", "--tokens", ",".join(str(7919 * i % 50257) for i in range(1, 49))]
FUSED = ["--backend", "fused", "--device", "cuda:0"]


def same_as_cpu():
    """Greedy tokens in f32 on the GPU and on the CPU, and what --tf32 changes."""
    f32 = [*PROMPT, "--dtype", "f32", "--max-new-tokens", "40", "--logits"]
    cpu, gpu, tf32 = generate("--device", "cpu", *f32), generate(*FUSED, *f32), generate(*FUSED, "--tf32", *f32)
    must(cpu["model"]["weights"] == gpu["model"]["weights"], f"{gpu['model']} and {cpu['model']}")
    must(len(gpu["tokens"]) == 40 and gpu["tokens"] == cpu["tokens"], f"tokens {gpu['tokens']} instead of {cpu['tokens']}")
    error, rounded = relative(gpu["logits"], cpu["logits"]), relative(tf32["logits"], cpu["logits"])
    must(error < 1e-4, f"relative logit error {error:.2e}, not under 1e-04")
    must(tf32["logits"] != gpu["logits"], "--tf32 changed nothing")
    must(rounded < 2e-3, f"relative logit error {rounded:.2e} with --tf32, not under 2e-03")
    return f"relative logit error {error:.1e}, with --tf32 {rounded:.1e}"


def same_again(*sampling):
    def body():
        one, other = (generate(*FUSED, *PROMPT, "--dtype", "f16", *sampling, "--seed", "1")["tokens"] for _ in range(2))
        must(len(one) == 50 and one == other, f"tokens {one}, then {other}")
        greedy = generate(*FUSED, *PROMPT, "--dtype", "f16", "--seed", "1")["tokens"]
        must(one != greedy, "nothing was drawn: the tokens are the most likely ones")
    return body


METHOD = ["throughput", "latency", "memory_allocated", "memory_peak", "gpu_utilization", "memory_utilization"]
MORE = ["gpu_memory_used", "memory_controller_utilization", "tokens_per_second", "prefill_throughput", "decode_throughput",
        "time_to_first_token", "inter_token_latency", "device_time", "host_overhead", "prompt_tokens", "new_tokens", "energy",
        "energy_per_request", "energy_per_token", "power", "temperature", "sm_clock", "memory_clock", "throttled_time"]


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


def refused(expected, *args, code=(2,)):
    def body():
        result = run(*args)
        must(result.returncode in code, f"exit {result.returncode}: {result.stderr}")
        must(expected in result.stderr and "panicked" not in result.stderr, result.stderr)
        return result.stderr.strip()
    return body


devices = json.loads(run("devices", "--json").stdout)
if not devices["cuda"]:
    print(f"SKIP  every check of the GPU: {devices['cuda_absent']}")
    sys.exit(0)
print(f"GPU   {devices['cuda'][0]['name']}, driver {(devices['nvml'] or {}).get('driver_version')}")

backends = devices["cuda"][0]["backends"]
for backend in ("fused", "candle"):
    if backend not in backends:
        print(f"SKIP  the checks of {backend}: for cuda:0 this binary has {', '.join(backends) or 'no backend'}")
for backend in backends:
    bf16 = "1e-2" if backend == "fused" else "2e-2"  # of which rounding the weights alone makes 8e-3
    for name in ("prefixed-f32", "bare-f16"):
        check(f"{backend}, {name} in f32: tokens equal, logits to 1e-4", golden_check(backend, name, "f32", 1e-4, True))
        check(f"{backend}, {name} in f16: logits to 2e-3", golden_check(backend, name, "f16", 2e-3, False))
        check(f"{backend}, {name} in bf16: logits to {bf16}", golden_check(backend, name, "bf16", float(bf16), False))
check("CUDA's and NVML's lists name the same GPU",
      lambda: must({d["uuid"] for d in devices["cuda"]} <= {g["uuid"] for g in devices["nvml"]["gpus"]}, devices))
for backend in backends:
    check(f"{backend}: every metric is there in a quick run",
          metrics_check("--backend", backend, "--quick", "--set", f"iterations={300 if backend == 'fused' else 20}", "--dtype", "f16", runs_expected=2))
check("a GPU that is not there is refused", refused("cuda:7", "run", "--quick", "--device", "cuda:7"))
too_large = {"fused": ("batch=256", "prompt-tokens=970"), "candle": ("batch=4096", "prompt-tokens=900")}
for backend in backends:
    batch, prompt = too_large[backend]
    check(f"{backend}: a batch that does not fit says how much was needed",
          refused("out of memory", "run", "--quick", "--backend", backend, "--device", "cuda:0", "--model", "gpt2-xl", "--set", batch,
                  "--set", prompt, code=(1,)))
if "fused" in backends:
    for name in ("prefixed-f32", "bare-f16"):
        check(f"fused, {name} with --tf32: logits to 2e-3", golden_check("fused", name, "f32", 2e-3, False, "--tf32"))
    check("--tf32 is refused where it does nothing", refused("--tf32", "generate", *FUSED, *PROMPT, "--dtype", "f16", "--tf32"))
    check("fused, gpt2 in f32: tokens as on the CPU, logits to 1e-4, with --tf32 to 2e-3", same_as_cpu)
    check("fused: one seed draws the same tokens, of all", same_again("--temperature", "0.8"))
    check("fused: one seed draws the same tokens, of the 40 likeliest", same_again("--temperature", "0.8", "--top-k", "40"))
    check("fused: a batch of 257 is refused, and the largest is named",
          refused("256", "run", "--quick", *FUSED, "--set", "batch=257", code=(1, 2)))
if full:
    for backend in backends:
        for dtype in ("f32", "f16"):
            check(f"{backend}: the documented 10 x 100 in {dtype}",
                  metrics_check("--backend", backend, "--dtype", dtype, runs_expected=10))
print(f"{'FAILED' if failures else 'PASSED'}: {failures} failed")
sys.exit(1 if failures else 0)
