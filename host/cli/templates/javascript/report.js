// What is shown of a recording: the average of each metric over its runs.

import { average, table } from './table.js';

export const report = {
  describe() {
    return {
      name: 'my-plugin',
      version: '0.1.0',
      summary: 'Prints the average of each metric.',
      settings: [{ name: 'decimals', help: 'Digits after the point, 0 to 9.', default: '4' }],
    };
  },

  render(recording, settings) {
    // The host gives every described setting.
    const decimals = digits(Object.fromEntries(settings).decimals);
    const runs = recording.runs();
    // A run lacks what could not be measured in it, so each is asked.
    const metrics = new Map(runs.flatMap((run) => run.metrics()).map((metric) => [metric.name, metric]));
    const rows = [];
    for (const { name, unit } of metrics.values()) {
      const values = runs.map((run) => run.value(name)).filter((value) => value !== undefined);
      if (values.length > 0) {
        rows.push([name, average(values).toFixed(decimals), unit]);
      }
    }
    return { tag: 'text', val: table(rows) };
  },
};

function digits(text) {
  if (!/^[0-9]$/.test(text)) {
    // What is thrown is the contract's `failure`.
    throw { tag: 'setting', val: `setting 'decimals' is '${text}', and must be 0 to 9` };
  }
  return Number(text);
}
