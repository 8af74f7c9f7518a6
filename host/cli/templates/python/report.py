"""What is shown of a recording: the average of each metric over its runs."""

# The build makes the modules of the host; `componentize-py bindings` writes them out for an editor.
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.report import Output_Text
from wit_world.imports.common import Description, Failure_Setting, Setting

from table import average, table


class Report(exports.Report):
    def describe(self):
        return Description(
            name="my-plugin",
            version="0.1.0",
            summary="Prints the average of each metric.",
            settings=[Setting("decimals", "Digits after the point, 0 to 9.", default="4", quick=None)],
        )

    def render(self, recording, settings):
        # The host gives every described setting.
        decimals = digits(dict(settings)["decimals"])
        runs = recording.runs()
        # A run lacks what could not be measured in it, so each is asked.
        units = {metric.name: metric.unit for run in runs for metric in run.metrics()}
        rows = []
        for name, unit in units.items():
            values = [value for run in runs if (value := run.value(name)) is not None]
            if values:
                rows.append((name, f"{average(values):.{decimals}f}", unit))
        return Output_Text(table(rows))


def digits(text):
    if text not in list("0123456789"):
        # What is raised is the contract's `failure`.
        raise Err(Failure_Setting(f"setting 'decimals' is '{text}', and must be 0 to 9"))
    return int(text)
