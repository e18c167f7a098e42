// A browser, and what a person does with one.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = createRequire(import.meta.url).resolve('axe-core');

export const url = process.env.MILLPOND_HEAD;

export const millpond = (...args) => execFileSync(process.env.MILLPOND, args, { encoding: 'utf8', env: process.env });
export const job = (id) => JSON.parse(millpond('show', id, '--format', 'json'));

export function check(is, what) {
  if (!is) throw new Error(`not so: ${what}`);
  console.log(`ok  ${what}`);
}

export async function until(what, is, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await is();
    if (found) return found;
    if (Date.now() > end) throw new Error(`did not come within ${seconds} s: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

// Without what Chromium would ask of other machines.
export const launch = () =>
  chromium.launch({
    executablePath: ['/usr/bin/chromium'].find(existsSync),
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });

// A page that tells of every mistake of the script, and of what the policy of the page has refused.
export async function open(context, path) {
  const page = await context.newPage();
  page.mistakes = [];
  page.on('pageerror', (error) => page.mistakes.push(error.message));
  page.on('console', (message) => message.type() === 'error' && page.mistakes.push(message.text()));
  await page.goto(url + path);
  return page;
}

// Nothing serious for people who see or hear a page otherwise.
export async function accessible(page, name) {
  // By the debugger: the page's own policy lets in no script but its own.
  const client = await page.context().newCDPSession(page);
  const source = (await import('node:fs')).readFileSync(axe, 'utf8');
  await client.send('Runtime.evaluate', { expression: source });
  const { result } = await client.send('Runtime.evaluate', {
    expression: 'axe.run(document, {resultTypes: ["violations"]}).then((found) => JSON.stringify(found.violations.map(({id, impact, nodes}) => ({id, impact, at: nodes.map((node) => node.html.slice(0, 160))}))))',
    awaitPromise: true,
    returnByValue: true,
  });
  const found = JSON.parse(result.value).filter(({ impact }) => ['serious', 'critical'].includes(impact));
  check(found.length === 0, `axe-core finds nothing serious on ${name}${found.length ? `: ${JSON.stringify(found)}` : ''}`);
}

export async function fits(page, name) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(over <= 0, `${name} is no wider than its window`);
}

export async function shot(page, name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
}

// Presses a button of a job, and agrees to what is asked.
export async function steer(page, id, verb, fill = async () => {}) {
  await page.locator(`button[data-verb=${verb}][data-job=${id}]`).first().click();
  const dialog = page.locator('#ask');
  await dialog.waitFor({ state: 'visible' });
  const preview = await dialog.locator('#ask-preview').textContent();
  await fill(dialog);
  await dialog.locator('button.main').click();
  await dialog.waitFor({ state: 'hidden' });
  return preview;
}
