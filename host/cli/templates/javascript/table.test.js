import assert from 'node:assert/strict';
import { test } from 'node:test';

import { average, table } from './table.js';

test('averages line up', () => {
  const rows = [['latency', '0.5', 's'], ['energy', '12.0', 's']];
  assert.equal(table(rows), 'latency   0.5  s\nenergy   12.0  s\n');
});

test('the average is the sum over the number', () => {
  assert.equal(average([1, 3]), 2);
});
