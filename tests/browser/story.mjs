// One person's afternoon with Millpond, on a wide window and on a telephone's.

import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { accessible, check, fits, job, launch, millpond, open, shot, steer, until, url } from './browser.mjs';

const { SPECTRA, EXAMPLE } = process.env;
const folder = process.env.FOLDER;
const browser = await launch();

async function pages(context, device, paths) {
  for (const [name, path] of paths) {
    const page = await open(context, path);
    await page.locator('h1').waitFor();
    await fits(page, `${name} (${device})`);
    await accessible(page, `${name} (${device})`);
    await shot(page, `${device}-${name}`);
    check(page.mistakes.length === 0, `${name} (${device}) has no mistakes ${page.mistakes.join('; ')}`);
    await page.close();
  }
}

// The search, from the spectra to the results.
async function search(context, device) {
  const page = await open(context, '/new');
  await page.setInputFiles('#data-file', join(SPECTRA, 'spectra.mgf'));
  await page.locator('#upload-progress', { hasText: 'is stored' }).waitFor({ timeout: 60000 });
  await page.setInputFiles('#with-file', [join(SPECTRA, 'db.fasta'), join(EXAMPLE, 'search.sh'), join(EXAMPLE, 'psms.py')]);
  await page.locator('#with-list li').nth(2).waitFor();
  const digest = await page.locator('[name=dataset]').inputValue();
  check(/^[0-9a-f]{64}$/.test(digest), 'the spectra are chosen once they are stored');
  await page.fill('[name=split]', 'mgf:200');
  await page.locator('[name=split]').blur();
  await page.locator('#split-preview', { hasText: '3136 records in 16 chunks' }).waitFor();
  await page.fill('[name=name]', `search ${device}`);
  await page.fill('[name=retries]', '2');
  await page.fill('[name=command]', 'sh {with:search.sh} {input} {with:db.fasta} {with:psms.py} {output}');
  const line = await page.locator('#command-line').textContent();
  check(line.startsWith('millpond submit ') && line.includes('--split mgf:200') && line.includes('-- sh {with:search.sh}'), 'the same in a terminal is shown');
  await page.fill('#template-name', 'my search');
  await page.press('#template-name', 'Enter');
  await page.locator('#template option', { hasText: 'my search' }).waitFor({ state: 'attached' });
  await page.locator('button[type=submit]', { hasText: 'Submit' }).click();
  await page.waitForURL(/\/jobs\/j\d+$/);
  const id = page.url().split('/').pop();

  await until('some tasks are done', () => job(id).tasks.succeeded >= 2);
  await page.locator('.key', { hasText: 'running' }).first().waitFor();
  const preview = await steer(page, id, 'pause', (dialog) => dialog.locator('[name=reason]').fill('coffee'));
  check(/not started will wait/.test(preview), `a preview says what a pause will do: ${preview}`);
  await page.locator('.notice', { hasText: `${id} is paused` }).waitFor();
  await until('what runs has ended', () => job(id).tasks.running === 0);
  const still = job(id).tasks;
  await new Promise((done) => setTimeout(done, 1500));
  check(job(id).tasks.undispatched === still.undispatched && job(id).held, 'no new task has started while it is paused');
  await page.locator('.state', { hasText: 'paused' }).first().waitFor();
  await page.locator('td', { hasText: 'coffee' }).waitFor();
  await steer(page, id, 'priority', (dialog) => dialog.locator('[name=priority]').fill('7'));
  await until('the priority has changed', () => job(id).priority === 7);
  await steer(page, id, 'resume');
  await until('it has ended', () => job(id).state === 'succeeded', 120);
  await page.locator('.state', { hasText: 'succeeded' }).first().waitFor();

  const [download] = await Promise.all([page.waitForEvent('download'), page.locator('a.button', { hasText: 'Download' }).click()]);
  const mine = join(folder, `${device}.zip`);
  await download.saveAs(mine);
  const theirs = join(folder, `${device}-cli.zip`);
  millpond('results', id, '-o', theirs);
  check(readFileSync(mine).equals(readFileSync(theirs)), 'the bundle is the same as by the command line');
  await page.locator('a.button', { hasText: 'Another like it' }).click();
  const again = page.locator('#command-line');
  await again.filter({ hasText: '--name' }).waitFor();
  const like = (await again.textContent()).replace(' --priority 7', '');
  check(like === line, `another job like it begins with the same: ${like}`);
  await page.locator('#split-preview', { hasText: '3136 records in 16 chunks' }).waitFor();
  await page.goto(`${url}/new`);
  await page.locator('#template').selectOption('my search');
  await page.locator('#with-list li').nth(2).waitFor();
  check((await page.locator('[name=command]').inputValue()).startsWith('sh {with:search.sh}'), 'a template is kept by the browser, with the shared files');
  check((await page.locator('[name=dataset]').inputValue()) === '', 'and without the data');
  await page.locator('[name=dataset]').selectOption(digest);
  check((await again.textContent()) === line, 'with the data it is the same job');
  await page.locator('button', { hasText: 'Forget it' }).click();
  check((await page.locator('#template option').count()) === 1, 'it is forgotten when asked');
  check(page.mistakes.length === 0, `no mistakes on the way ${page.mistakes.join('; ')}`);
  await page.close();
  return id;
}

// A job of which some tasks fail, with markup wherever a person or a task can put it.
async function failing(context) {
  const id = millpond('submit', '-q', '--name', '<img src=x onerror=alert(1)>', '--array', '0-19', '--', 'sh', '-c',
    'printf "<script>alert(1)</script>\\n\\033[31mred" >&2; exit $(({index} % 5 == 3))').trim();
  await until('it has failed', () => job(id).state === 'failed');
  const page = await open(context, `/jobs/${id}`);
  await page.locator('h2', { hasText: 'Why attempts failed' }).waitFor();
  await page.locator('td a', { hasText: `${id}.3` }).first().click();
  await page.locator('pre', { hasText: '<script>alert(1)</script>' }).waitFor();
  check((await page.locator('main script, main img').count()) === 0, 'what a task has written, and what a job is called, is text and nothing else');
  await page.goBack();
  const preview = await steer(page, id, 'retry');
  check(/4 tasks that failed will run again/.test(preview), `a preview says what a retry will do: ${preview}`);
  await until('they have run again', () => job(id).round === 2 && job(id).state === 'failed');
  check(page.mistakes.length === 0, `no mistakes on the way ${page.mistakes.join('; ')}`);
  await page.close();
  return id;
}

// A million tasks, killed from the list of jobs.
async function million(context) {
  const id = millpond('submit', '-q', '--name', 'a million', '--array', '1-1000000', '--', 'sleep', '0.2').trim();
  await until('it runs', () => job(id).tasks.running > 0);
  const page = await open(context, `/jobs/${id}`);
  await page.locator('li', { hasText: 'a cell 100 tasks' }).waitFor();
  await page.goto(`${url}/`);
  const preview = await steer(page, id, 'kill', (dialog) => dialog.locator('[name=running]').selectOption('stop'));
  check(/drops 99\d{4} tasks/.test(preview), `a preview says what a kill will do: ${preview}`);
  await until('it is killed', () => job(id).state === 'killed');
  await page.locator(`#row-${id} .state`, { hasText: 'killed' }).waitFor();
  await page.close();
}

// A way to the head that breaks once, after so many bytes to it; its address.
async function breakingOnce(bytes) {
  let sent = 0;
  let isWhole = true;
  const server = createServer((client) => {
    const head = connect(Number(new URL(url).port), '127.0.0.1');
    const end = () => [client, head].forEach((socket) => socket.destroy());
    [client, head].forEach((socket) => socket.on('error', end).on('close', end));
    head.pipe(client);
    client.on('data', (data) => {
      sent += data.length;
      if (isWhole && sent > bytes) {
        isWhole = false;
        end();
      } else if (!head.write(data)) client.pause();
    });
    head.on('drain', () => client.resume());
  });
  await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
  return { server, at: `http://127.0.0.1:${server.address().port}` };
}

// A connection that breaks in the middle of an upload: it goes on from there, and what is stored is whole.
async function broken(context) {
  const file = join(folder, 'numbers.txt');
  writeFileSync(file, Array.from({ length: 2000000 }, (_, n) => `${n} ${'x'.repeat(20)}\n`).join(''));
  const { server, at } = await breakingOnce(30e6);
  const page = await context.newPage();
  await page.goto(`${at}/new`);
  const offsets = [];
  page.on('request', (request) => {
    const offset = request.headers()['upload-offset'];
    if (offset && offset !== '*') offsets.push(Number(offset));
  });
  await page.setInputFiles('#data-file', file);
  await page.locator('#upload-progress', { hasText: 'is stored' }).waitFor({ timeout: 60000 });
  check(offsets.length > 1 && offsets.at(-1) > 0, `an upload that breaks off goes on by itself, and not from its beginning: ${offsets}`);
  const stored = JSON.parse(millpond('data', 'show', await page.locator('[name=dataset]').inputValue(), '--format', 'json'));
  check(stored.len === readFileSync(file).length, 'and all of it is stored');
  await page.close();
  server.close();
}

// A page that is left open: what comes to it for hours, of two jobs by turns, makes neither the page nor the browser's memory grow.
async function leftOpen(context, one, other) {
  const page = await open(context, `/jobs/${one}`);
  const browser = await context.newCDPSession(page);
  await browser.send('Performance.enable');
  const holds = async () => {
    await browser.send('HeapProfiler.collectGarbage');
    const { metrics } = await browser.send('Performance.getMetrics');
    const figure = (name) => metrics.find((metric) => metric.name === name).value;
    return { nodes: figure('Nodes'), listeners: figure('JSEventListeners'), heap: figure('JSHeapUsedSize') };
  };
  const comes = (times) => page.evaluate(async ({ paths, times }) => {
    const first = (path) => new Promise((done) => {
      const source = new EventSource(path);
      source.onmessage = ({ data }) => { source.close(); done(data); };
    });
    const views = await Promise.all(paths.map(first));
    for (let n = 0; n < times; n += 1) {
      stream.onmessage({ data: views[n % 2] });
      if (n % 100 === 0) await new Promise((done) => setTimeout(done));
    }
  }, { paths: [`/live/jobs/${one}`, `/live/jobs/${other}`], times });
  await comes(200);
  const before = await holds();
  await comes(3600);
  const after = await holds();
  check(after.nodes <= before.nodes * 1.1 + 50, `a page that is left open does not grow: ${before.nodes} nodes, then ${after.nodes}`);
  check(after.listeners <= before.listeners + 5, `nor what it listens to: ${before.listeners}, then ${after.listeners}`);
  check(after.heap <= before.heap + 2e6, `nor its memory: ${before.heap} bytes, then ${after.heap}`);
  check((await page.locator('h1').textContent()).startsWith(other), 'and it shows what came last');
  check(page.mistakes.length === 0, `no mistakes on the way ${page.mistakes.join('; ')}`);
  await page.close();
}

// A task that runs is followed on its page, which then shows what is kept of it.
async function follows(context) {
  const gate = join(folder, 'gate');
  const id = millpond('submit', '-q', '--name', 'a clock', '--array', '0', '--', 'sh', '-c',
    `printf "<script>alert(1)</script> \\033[31mred\\n"; i=0; until [ -e ${gate} ]; do i=$((i+1)); echo line $i; sleep 0.1; done; echo the last`).trim();
  const page = await open(context, `/tasks/${id}.0`);
  const box = page.locator('#live-stdout pre');
  await box.locator('text=line 3').waitFor();
  check((await box.textContent()).startsWith('<script>alert(1)</script> ·[31mred\nline 1\nline 2\n'), 'what it has written before is there, and is text');
  check((await page.locator('main script').count()) === 0, 'and nothing else than text');
  const lines = async () => (await box.textContent()).split('\n').length;
  const before = await lines();
  await until('more comes by itself', async () => (await lines()) > before + 5);
  const numbers = [...(await box.textContent()).matchAll(/^line (\d+)$/gm)].map((found) => Number(found[1]));
  check(numbers.every((number, at) => number === at + 1), 'each line once, in order');
  await until('the box is full', async () => await box.evaluate((it) => it.scrollHeight > it.clientHeight + 50));
  const place = async () => await box.evaluate((it) => it.scrollHeight - it.clientHeight - it.scrollTop);
  check((await place()) < 8, 'it scrolls along');
  await box.evaluate((it) => (it.scrollTop = 0));
  const seen = await lines();
  await until('more has come', async () => (await lines()) > seen + 3);
  check((await box.evaluate((it) => it.scrollTop)) === 0, 'but not under the eyes of who has scrolled up');
  await accessible(page, 'a task that runs');
  await fits(page, 'a task that runs');
  await shot(page, 'wide-running-task');
  writeFileSync(gate, '');
  await page.locator('#stdout pre', { hasText: 'the last' }).waitFor();
  check((await page.locator('#live-stdout').count()) === 0, 'when it has ended the page shows what is kept');
  check(page.mistakes.length === 0, `no mistakes on the way ${page.mistakes.join('; ')}`);
  await page.close();
}

try {
  const wide = await browser.newContext({ viewport: { width: 1200, height: 850 } });
  const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: 'dark' });
  const found = await search(wide, 'wide');
  await search(phone, 'telephone');
  const failed = await failing(wide);
  await million(phone);
  await broken(wide);
  await follows(wide);
  await leftOpen(wide, found, failed);
  const paths = [
    ['jobs', '/'], ['job', `/jobs/${found}`], ['failed-job', `/jobs/${failed}`], ['task', `/tasks/${failed}.3`], ['new', '/new'],
    ['order', '/order'], ['workers', '/workers'], ['worker', '/workers/w1'], ['timeline', '/timeline'], ['data', '/data'], ['system', '/system'], ['login', '/login'],
  ];
  await pages(wide, 'wide', paths);
  await pages(phone, 'telephone', paths);
  console.log('PASS');
} finally {
  await browser.close();
}
