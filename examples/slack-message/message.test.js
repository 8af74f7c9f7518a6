import assert from 'node:assert/strict';
import { test } from 'node:test';

import { average, escaped, message, quantity } from './message.js';

const shown = (more) => ({
  title: '',
  facts: { 'model.name': 'gpt2', 'gpu.name': 'H100', status: 'complete', 'model.backend': 'fused' },
  runs: 2,
  figures: [{ name: 'latency', unit: 's', value: 0.0123456 }],
  cut: [],
  ...more,
});

test('a message has a heading, a field for each figure, and where it is from', () => {
  const { text, blocks } = message(shown());
  assert.equal(text, 'gpt2 on H100, latency 12.35 ms');
  assert.deepEqual(blocks, [
    { type: 'header', text: { type: 'plain_text', text: 'gpt2 on H100' } },
    { type: 'section', fields: [{ type: 'mrkdwn', text: '*latency*\n12.35 ms' }] },
    { type: 'context', elements: [{ type: 'mrkdwn', text: '2 runs · fused' }] },
  ]);
});

test('a section has at most the ten fields that Slack takes', () => {
  const figures = Array.from({ length: 23 }, (_, index) => ({ name: `x${index}`, unit: 's', value: index }));
  const sections = message(shown({ figures })).blocks.filter(({ type }) => type === 'section');
  assert.deepEqual(sections.map(({ fields }) => fields.length), [10, 10, 3]);
});

test('what should be known before a figure is believed is said', () => {
  const facts = { status: 'failed', message: '<the device> failed', 'model.backend': 'simulated' };
  const cut = [['long', { iterations: 3, asked: 100 }]];
  const { elements } = message(shown({ facts, cut, figures: [] })).blocks.at(-1);
  assert.deepEqual(elements.map(({ text }) => text), [
    ':warning: The test is failed: &lt;the device&gt; failed. Figures are of the runs that were finished: 2.',
    ":warning: The time limit ended 'long' after 3 of 100 iterations.",
    ':warning: Simulated: no model ran.',
    '2 runs · simulated',
  ]);
});

test('a heading is no longer than Slack takes', () => {
  const { text } = message(shown({ title: 'x'.repeat(200) })).blocks[0].text;
  assert.equal(text.length, 150);
});

test('figures are said as a person says them', () => {
  const said = [
    [0.5, 's'], [2e-5, 's'], [0, 's'], [3 * 2 ** 30, 'B'], [12, 'B'], [0.875, '1'], [1.98e9, 'Hz'], [61, 'Cel'], [12345.6, 'tokens/s'],
  ];
  assert.deepEqual(said.map(([value, unit]) => quantity(value, unit)), [
    '500 ms', '20 µs', '0 µs', '3 GiB', '12 B', '87.5%', '1.98 GHz', '61 °C', '12,346 tokens/s',
  ]);
});

test('markup is text', () => {
  assert.equal(escaped('a & <b>'), 'a &amp; &lt;b&gt;');
  assert.equal(average([1, 3]), 2);
});
