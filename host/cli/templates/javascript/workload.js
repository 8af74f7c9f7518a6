// What is measured: one run for each prompt length.

import { Plan, measure } from 'harness:plugin/bench@0.2.0';

import { mean, positive } from './sweep.js';

// What the summary has, by the host's names for it. run.metrics() lists all that a run recorded.
const METRICS = ['time_to_first_token', 'latency', 'tokens_per_second'];
const NEW_TOKENS = 20;

export const workload = {
  describe() {
    return {
      name: 'my-plugin',
      version: '0.1.0',
      summary: 'Times generations after prompts of several lengths.',
      settings: [
        { name: 'lengths', help: 'Prompt lengths in tokens, separated by commas.', default: '32,256' },
        // `quick` is for `harness run --quick` and `harness plugin test`.
        { name: 'iterations', help: 'Recorded requests of each length.', default: '20', quick: '3' },
      ],
    };
  },

  run(settings) {
    // The host gives every described setting.
    const values = Object.fromEntries(settings);
    const iterations = count('iterations', values.iterations);
    const lengths = values.lengths.split(',').map((length) => count('lengths', length));
    return summary(lengths.map((length) => atLength(length, iterations)));
  },
};

// Asks the host for one measured run. Nothing of the plugin runs while it is measured.
function atLength(length, iterations) {
  const request = {
    prompt: { tag: 'synthetic', val: length },
    maxNewTokens: NEW_TOKENS,
    stopAtEndOfText: false,
  };
  const plan = new Plan(`prompt of ${length} tokens`, [request]);
  plan.setIterations(iterations);
  try {
    return measure(plan);
  } catch (error) {
    // The payload is the contract's `model.error`. What is thrown back to the host is its `failure`.
    throw { tag: 'other', val: error.payload?.val ?? String(error) };
  }
}

// The host checks that a figure under its metric's name is the mean of the runs' values.
function summary(runs) {
  return runs[0]
    .metrics()
    .filter((metric) => METRICS.includes(metric.name))
    .map((metric) => {
      const values = runs.map((run) => run.value(metric.name)).filter((value) => value !== undefined);
      return { metric, value: mean(values) };
    });
}

function count(name, text) {
  const number = positive(text);
  if (number === undefined) {
    throw { tag: 'setting', val: `'${text}' in setting '${name}' is not a whole number of 1 or more` };
  }
  return number;
}
