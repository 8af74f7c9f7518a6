// A message in Slack's Block Kit: https://docs.slack.dev/reference/block-kit/blocks. Nothing here calls the host, so node can test it.

// Slack's own bounds.
const HEADER = 150;
const FIELDS = 10;
const TEXT = 3000;

/** The payload of an incoming webhook: blocks, and a text for where blocks are not shown. */
export function message({ title, facts, runs, figures, cut }) {
  const heading = title !== '' ? title : heading_of(facts);
  const blocks = [{ type: 'header', text: { type: 'plain_text', text: shortened(heading, HEADER) } }];
  for (let first = 0; first < figures.length; first += FIELDS) {
    blocks.push({ type: 'section', fields: figures.slice(first, first + FIELDS).map(field) });
  }
  if (figures.length === 0) {
    blocks.push({ type: 'section', text: mrkdwn('Nothing was measured.') });
  }
  const notes = [...warnings(facts, runs, cut).map((note) => `:warning: ${note}`), origin(facts, runs)];
  blocks.push({ type: 'context', elements: notes.slice(0, FIELDS).map(mrkdwn) });
  const first = figures.slice(0, 3).map(({ name, unit, value }) => `${name} ${quantity(value, unit)}`);
  return { text: escaped(shortened([heading, ...first].join(', '), TEXT)), blocks };
}

export function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A figure of a base unit as a person says it. */
export function quantity(value, unit) {
  const scaled = (steps) => {
    const [factor, symbol] = steps.find(([factor]) => Math.abs(value) >= factor) ?? steps.at(-1);
    return `${digits(value / factor)} ${symbol}`;
  };
  switch (unit) {
    case 's':
      return scaled([[1, 's'], [1e-3, 'ms'], [1e-6, 'µs']]);
    case 'B':
      return scaled([[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']]);
    case 'Hz':
      return scaled([[1e9, 'GHz'], [1e6, 'MHz'], [1, 'Hz']]);
    case '1':
      return `${digits(100 * value)}%`;
    case 'Cel':
      return `${digits(value)} °C`;
    default:
      return `${digits(value)} ${unit}`;
  }
}

/** Text in which Slack sees no markup. */
export function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function digits(value) {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(4)));
}

function field({ name, unit, value }) {
  return { type: 'mrkdwn', text: `*${escaped(name)}*\n${escaped(quantity(value, unit))}` };
}

function mrkdwn(text) {
  return { type: 'mrkdwn', text: shortened(text, TEXT) };
}

function shortened(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function heading_of(facts) {
  const device = facts['gpu.name'] ?? facts['model.device'];
  const model = facts['model.name'] ?? 'a model';
  return device === undefined ? model : `${model} on ${device}`;
}

function warnings(facts, runs, cut) {
  const warnings = [];
  if (facts.status !== undefined && facts.status !== 'complete') {
    const why = facts.message ? `: ${facts.message}` : '';
    warnings.push(escaped(`The test is ${facts.status}${why}. Figures are of the runs that were finished: ${runs}.`));
  }
  for (const [label, { iterations, asked }] of cut.slice(0, 3)) {
    warnings.push(escaped(`The time limit ended '${label}' after ${iterations} of ${asked} iterations.`));
  }
  if (facts['model.backend'] === 'simulated') {
    warnings.push('Simulated: no model ran.');
  } else if (facts['model.weights']?.startsWith('synthetic:')) {
    warnings.push('Synthetic weights: random numbers in the shape of the model.');
  }
  return warnings;
}

function origin(facts, runs) {
  const parts = [`${runs} ${runs === 1 ? 'run' : 'runs'}`];
  for (const [before, name] of [['', 'model.backend'], ['', 'model.dtype'], ['on ', 'host.name'], ['started ', 'start']]) {
    if (facts[name] !== undefined) {
      parts.push(`${before}${facts[name]}`);
    }
  }
  if (facts['plugin.name'] !== undefined) {
    parts.push(`workload ${facts['plugin.name']} ${facts['plugin.version'] ?? ''} (${(facts['plugin.sha256'] ?? '').slice(0, 12)})`);
  }
  return escaped(parts.join(' · '));
}
