// What is shown of a recording: a message for Slack.

import { average, message } from './message.js';

export const report = {
  describe() {
    return {
      name: 'slack-message',
      version: '0.1.0',
      summary: 'The averages as a Slack message, in Block Kit JSON.',
      settings: [
        { name: 'title', help: 'The heading; empty names the model and the device.', default: '' },
        {
          name: 'metrics',
          help: 'Metrics to show, separated by commas; the summary where none of them was measured.',
          default: 'throughput,latency,time_to_first_token,tokens_per_second,memory_peak,gpu_utilization',
        },
      ],
    };
  },

  render(recording, settings) {
    // The host gives every described setting.
    const { title, metrics } = Object.fromEntries(settings);
    const wanted = metrics.split(',').map((name) => name.trim()).filter((name) => name !== '');
    if (wanted.length === 0) {
      // What is thrown is the contract's `failure`.
      throw { tag: 'setting', val: "setting 'metrics' is empty; name one, such as 'latency'" };
    }
    const facts = Object.fromEntries(recording.facts().map(({ name, value }) => [name, value]));
    const runs = recording.runs();
    const shown = {
      title,
      facts,
      runs: runs.length,
      figures: figures(wanted, runs, recording.summary()),
      cut: runs.map((run) => [run.label(), run.extent()]).filter(([, { ending }]) => ending === 'time-limit'),
    };
    return { tag: 'text', val: `${JSON.stringify(message(shown), null, 2)}\n` };
  },
};

// Averages over the runs of each wanted metric that all of them have, or else what the workload sums them up by.
function figures(wanted, runs, summary) {
  const measured = new Map(runs.flatMap((run) => run.metrics()).map((metric) => [metric.name, metric]));
  const averages = wanted
    .filter((name) => measured.has(name))
    .map((name) => ({ metric: measured.get(name), values: runs.map((run) => run.value(name)) }))
    .filter(({ values }) => values.every((value) => value !== undefined))
    .map(({ metric, values }) => ({ name: metric.name, unit: metric.unit, value: average(values) }));
  if (averages.length > 0) {
    return averages;
  }
  return summary.map(({ metric, value }) => ({ name: metric.name, unit: metric.unit, value }));
}
