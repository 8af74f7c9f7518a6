"""What is measured: each turn of a conversation whose next prompt depends on the last answer."""

# The build makes the modules of the host; `componentize-py bindings` writes them out for an editor.
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import bench, log, model
from wit_world.imports.common import Description, Failure_Other, Failure_Setting, Setting
from wit_world.imports.model import Prompt_Text, Request
from wit_world.imports.recordings import Metric, Reading

from conversation import Conversation, positive, questions

OPENING = "This is a conversation with an expert who answers in short sentences."
QUESTIONS = "What is a GPU?|Why is it fast?|And what is it bad at?|Say that in one word."
# The host's names of the metrics of which each turn has a figure.
METRICS = ("latency", "time_to_first_token", "prompt_tokens")


class Workload(exports.Workload):
    def describe(self):
        return Description(
            name="chat",
            version="0.1.0",
            summary="Times each turn of a conversation whose next prompt depends on the last answer.",
            settings=[
                Setting("questions", "What is asked, separated by '|'.", default=QUESTIONS, quick=None),
                Setting("new-tokens", "Tokens of each answer, at most.", default="40", quick="8"),
                Setting("iterations", "Recorded requests of each turn, at most.", default="10", quick="2"),
                Setting("seconds", "Time after which a turn begins no further request.", default="20", quick="1"),
            ],
        )

    def run(self, settings):
        # The host gives every described setting.
        values = dict(settings)
        asked = read("questions", values, questions, "questions separated by '|'")
        new_tokens = read("new-tokens", values, positive, "a whole number of 1 or more")
        iterations = read("iterations", values, positive, "a whole number of 1 or more")
        seconds = read("seconds", values, positive, "a whole number of 1 or more")
        context = model.about().context
        if new_tokens >= context:
            raise Err(Failure_Setting(f"setting 'new-tokens' is {new_tokens}, and a context of {context} has no room for it"))

        conversation = Conversation(OPENING, context - new_tokens, lambda text: len(served(model.encode, text)))
        readings = []
        for turn, question in enumerate(asked, start=1):
            prompt = conversation.ask(question)
            if prompt is None:
                raise Err(Failure_Setting(f"question {turn} of setting 'questions' does not fit a context of {context} tokens"))
            request = Request(Prompt_Text(prompt), max_new_tokens=new_tokens, stop_at_end_of_text=True, sampling=None)
            plan = bench.Plan(f"turn {turn}", [request])
            plan.set_iterations(iterations)
            plan.set_time_limit(float(seconds))
            run = served(bench.measure, plan)
            readings.extend(figures(turn, run))
            # Greedy, so the answer that is kept is the one that was measured.
            conversation.answered(question, served(model.generate, request).text)
        if conversation.forgotten:
            log.log(log.Level.WARN, f"the context of {context} tokens was full, and the oldest turns were forgotten: {conversation.forgotten}")
        return readings


def figures(turn, run):
    """A figure of the turn's own for each metric that its run has."""
    readings = []
    for metric in run.metrics():
        value = run.value(metric.name)
        if metric.name not in METRICS or value is None:
            continue
        if metric.name == "prompt_tokens":
            # The host's value is the sum over the run; a turn's prompt is the same each time.
            value /= run.extent().iterations
        # Not the host's own name: the host expects that to be a mean over all runs.
        own = Metric(f"{metric.name}_turn_{turn}", metric.unit, f"{metric.help} In turn {turn}.", metric.better, False)
        readings.append(Reading(own, value))
    return readings


def served(call, *arguments):
    """What the host raises is the contract's `model.error`, and what it wants back is its `failure`."""
    try:
        return call(*arguments)
    except Err as error:
        raise Err(Failure_Other(error.value.value)) from error


def read(name, values, parse, expected):
    try:
        return parse(values[name])
    except ValueError:
        raise Err(Failure_Setting(f"setting '{name}' is '{values[name]}', and must be {expected}")) from None
