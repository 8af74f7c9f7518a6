import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mean, positive } from './sweep.js';

test('a count is a whole number of one or more', () => {
  assert.equal(positive(' 64'), 64);
  assert.equal(positive('0'), undefined);
  assert.equal(positive('many'), undefined);
});

test('the mean is the sum over the number', () => {
  assert.equal(mean([1, 3]), 2);
});
