// Debian's Chromium for tests: without a window, and without what a browser says to the world by itself.

import { chromium } from 'playwright-core';
import { overTls } from './certificate.mjs';
import { undo } from './stack.mjs';

const CHROMIUM = process.env.HUBBUB_CHROMIUM || '/usr/bin/chromium';
const LIMIT = 60_000; // ms: only a hang meets it

/** A browser that is closed when the test, or the whole file, is over. */
export async function startChromium(t) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    timeout: LIMIT,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', ...(overTls ? ['--ignore-certificate-errors'] : []), '--disable-component-update', '--disable-sync'],
  });
  undo(t, () => browser.close());
  return browser;
}
