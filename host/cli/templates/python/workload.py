"""What is measured: one run for each prompt length."""

# The build makes the modules of the host; `componentize-py bindings` writes them out for an editor.
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import bench
from wit_world.imports.common import Description, Failure_Other, Failure_Setting, Setting
from wit_world.imports.model import Prompt_Synthetic, Request
from wit_world.imports.recordings import Reading

from sweep import mean, positive

# What the summary has, by the host's names for it. run.metrics() lists all that a run recorded.
METRICS = ("time_to_first_token", "latency", "tokens_per_second")
NEW_TOKENS = 20


class Workload(exports.Workload):
    def describe(self):
        return Description(
            name="my-plugin",
            version="0.1.0",
            summary="Times generations after prompts of several lengths.",
            settings=[
                Setting("lengths", "Prompt lengths in tokens, separated by commas.", default="32,256", quick=None),
                # `quick` is for `harness run --quick` and `harness plugin test`.
                Setting("iterations", "Recorded requests of each length.", default="20", quick="3"),
            ],
        )

    def run(self, settings):
        # The host gives every described setting.
        values = dict(settings)
        iterations = count("iterations", values["iterations"])
        lengths = [count("lengths", length) for length in values["lengths"].split(",")]
        return summary([at_length(length, iterations) for length in lengths])


def at_length(length, iterations):
    """Asks the host for one measured run. Nothing of the plugin runs while it is measured."""
    request = Request(Prompt_Synthetic(length), max_new_tokens=NEW_TOKENS, stop_at_end_of_text=False, sampling=None)
    plan = bench.Plan(f"prompt of {length} tokens", [request])
    plan.set_iterations(iterations)
    try:
        return bench.measure(plan)
    except Err as error:
        # What the host raises is the contract's `model.error`, and what it wants back is its `failure`.
        raise Err(Failure_Other(error.value.value)) from error


def summary(runs):
    """The host checks that a figure under its metric's name is the mean of the runs' values."""
    readings = []
    for metric in runs[0].metrics():
        if metric.name in METRICS:
            values = [run.value(metric.name) for run in runs]
            readings.append(Reading(metric, mean([value for value in values if value is not None])))
    return readings


def count(name, text):
    try:
        return positive(text)
    except ValueError as error:
        message = f"'{text}' in setting '{name}' is not a whole number of 1 or more"
        raise Err(Failure_Setting(message)) from error
