// The chat page, as people meet it: Chromium, the programs, sockets, signals.
//
//   run.sh WORK SERVER GATEWAY [PATTERN]

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { after, test } from 'node:test';

import {
  AXE_FILE,
  browser,
  call,
  cleanUp,
  complaints,
  Door,
  fileLog,
  live,
  screenshots,
  send,
  shows,
  startGateway,
  startServer,
  stored,
  texts,
  until,
  visit,
  write,
} from './harness.mjs';

const pattern = new RegExp(process.argv[2] ?? '', 'u');

function it(name, run) {
  if (!pattern.test(name)) return;
  test(name, { timeout: 120_000 }, async () => {
    let failed = name;
    try {
      await run();
      failed = null;
    } finally {
      await cleanUp(failed);
    }
  });
}

after(() => browser.close());

async function start(options) {
  const server = await startServer(options);
  return { server, gateway: await startGateway(server) };
}

const storedTexts = async (gateway, channel) => (await stored(gateway, channel)).map(({ text }) => text);

it('two people chat', async () => {
  const { gateway } = await start();
  const ann = await visit(gateway, { name: 'Ann' });
  const bob = await visit(gateway, { name: 'Bob' });
  await write(ann, 'hi bob');
  await shows(bob, ['hi bob']);
  await write(bob, 'hi ann');
  await write(bob, 'two\nlines');
  for (const page of [ann, bob]) await shows(page, ['hi bob', 'hi ann', 'two\nlines']);
  // One author's messages stand together, below a day and a name.
  assert.deepEqual(await ann.$$eval('#rows .author', (nodes) => nodes.map((node) => node.textContent)), ['Ann', 'Bob']);
  assert.equal(await ann.locator('#rows .day').count(), 1);
  assert.equal(await ann.locator('#rows article.grouped').count(), 1);
  // The sender sees that it was sent; who listens, hears it.
  await ann.waitForSelector('.state.sent');
  assert.match(await bob.textContent('#announcer'), /Ann: hi bob/);
  for (const page of [ann, bob]) assert.deepEqual(complaints(page), []);
});

it('what is unread is counted, and marked where it begins', async () => {
  const { gateway } = await start();
  await send(gateway, 'general', { author: 'x', text: 'old' });
  await send(gateway, 'other', { author: 'x', text: 'old' });
  const page = await visit(gateway, { name: 'Ann' });
  await shows(page, ['old']);
  assert.equal(await page.locator('.badge').count(), 0);
  await send(gateway, 'other', { author: 'x', text: '1' }, { author: 'x', text: '2' });
  await send(gateway, 'born', { author: 'x', text: '1' });
  const badge = (channel) => page.locator(`a[href="#/${channel}"] .badge`).textContent();
  await until(async () => (await page.title()) === '(3) #general – messenger', 'the title tells');
  assert.deepEqual([await badge('other'), await badge('born')], ['2', '1']);
  await page.click('a[href="#/other"]');
  await shows(page, ['old', '1', '2']);
  assert.equal(await page.textContent('.row:has(.unread) .text'), '1');
  await until(async () => (await page.title()) === '(1) #other – messenger', 'they are read');
  await page.reload();
  await shows(page, ['old', '1', '2']);
  assert.equal(await page.locator('.unread').count(), 0);
});

it('what is written offline arrives afterwards, once and in order', async () => {
  const { gateway } = await start();
  const ann = await visit(gateway, { name: 'Ann' });
  const bob = await visit(gateway, { name: 'Bob' });
  await ann.context().setOffline(true);
  await ann.waitForSelector('#connection[data-state=offline]');
  await write(ann, '1');
  await write(ann, '2');
  await ann.waitForSelector('.state.waiting');
  await write(bob, 'meanwhile');
  await shows(bob, ['meanwhile']);
  await ann.context().setOffline(false);
  for (const page of [ann, bob]) await shows(page, ['meanwhile', '1', '2']);
  await until(async () => (await ann.locator('.pending').count()) === 0, 'nothing waits');
  assert.deepEqual(await storedTexts(gateway, 'general'), ['meanwhile', '1', '2']);
  assert.deepEqual(complaints(bob), []);
  assert.deepEqual(complaints(ann, { outage: true }), []);
});

it('a message whose answer is lost is stored once', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  const attempts = [];
  await page.route('**/messages', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    attempts.push(route.request().postDataJSON().text);
    // It is stored, and nobody hears of it.
    if (attempts.length === 1) await route.fetch();
    return attempts.length <= 2 && attempts[0] === attempts.at(-1) ? route.abort() : route.continue();
  });
  // Nor does the stream tell.
  await page.route(/\/stream\?/, (route) => route.abort());
  await page.reload();
  await page.waitForSelector('#connection[data-state=lost]');
  await write(page, 'once');
  await write(page, 'behind');
  await until(async () => (await storedTexts(gateway, 'general')).length === 2, 'both are stored');
  await page.unroute(/\/stream\?/);
  await shows(page, ['once', 'behind']);
  assert.deepEqual(await storedTexts(gateway, 'general'), ['once', 'behind']);
  assert.deepEqual(attempts, ['once', 'once', 'once', 'behind']);
});

it('what was on its way when the page was reloaded is stored once', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  const keys = [];
  let isStored = false;
  await page.route('**/messages', async (route) => {
    keys.push(route.request().headers()['idempotency-key']);
    if (isStored) return route.continue();
    await route.fetch();
    isStored = true;
    // There is no answer.
    return undefined;
  });
  await page.route(/\/stream\?/, (route) => route.abort());
  await page.reload();
  await write(page, 'once');
  await until(() => isStored, 'it is stored');
  await page.reload();
  // It is sent again, and known again.
  await until(() => keys.length === 2, 'it is sent again');
  assert.equal(keys[1], keys[0]);
  await shows(page, ['once']);
  await until(async () => (await page.locator('.pending').count()) === 0, 'nothing waits');
  assert.deepEqual(await storedTexts(gateway, 'general'), ['once']);
});

it('the server restarts under them', async () => {
  const log = fileLog();
  const { server, gateway } = await start({ log });
  const ann = await visit(gateway, { name: 'Ann' });
  const bob = await visit(gateway, { name: 'Bob' });
  await write(ann, 'before');
  await shows(bob, ['before']);
  await server.stop();
  for (const page of [ann, bob]) {
    await page.waitForSelector('#connection[data-state=away]');
    assert.match(await page.textContent('#banner'), /The server is down/);
  }
  await write(ann, 'meanwhile');
  await ann.waitForSelector('.state.waiting');
  await startServer({ port: server.port, log });
  for (const page of [ann, bob]) {
    await shows(page, ['before', 'meanwhile']);
    await live(page);
    assert.equal(await page.isVisible('#banner'), false);
  }
  await write(bob, 'after');
  for (const page of [ann, bob]) await shows(page, ['before', 'meanwhile', 'after']);
  assert.deepEqual(await storedTexts(gateway, 'general'), ['before', 'meanwhile', 'after']);
  for (const page of [ann, bob]) assert.deepEqual(complaints(page, { outage: true }), []);
});

it('the gateway restarts under them', async () => {
  const { server, gateway } = await start();
  const ann = await visit(gateway, { name: 'Ann' });
  const bob = await visit(gateway, { name: 'Bob' });
  await write(ann, 'before');
  await shows(bob, ['before']);
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    await gateway.stop(signal);
    for (const page of [ann, bob]) await page.waitForSelector('#connection[data-state=lost]');
    await write(ann, signal);
    await ann.waitForSelector('.state.waiting');
    Object.assign(gateway, await startGateway(server, { port: gateway.port }));
    await ann.$eval('#banner-retry', (button) => button.click());
    for (const page of [ann, bob]) await live(page);
  }
  for (const page of [ann, bob]) await shows(page, ['before', 'SIGTERM', 'SIGKILL']);
  assert.deepEqual(await storedTexts(gateway, 'general'), ['before', 'SIGTERM', 'SIGKILL']);
  for (const page of [ann, bob]) assert.deepEqual(complaints(page, { outage: true }), []);
});

it('a log that begins anew replaces what was shown', async () => {
  const { server, gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  await write(page, 'of the old log');
  await shows(page, ['of the old log']);
  await server.stop('SIGKILL');
  await startServer({ port: server.port });
  await shows(page, []);
  await live(page);
  await write(page, 'of the new log');
  await shows(page, ['of the new log']);
  assert.deepEqual(await storedTexts(gateway, 'general'), ['of the new log']);
});

it('a page that finds nobody says so, and recovers', async () => {
  const { server, gateway } = await start();
  await send(gateway, 'general', { author: 'x', text: 'hello' });
  await server.stop();
  const page = await visit(gateway, { name: '' });
  await page.evaluate(() => localStorage.setItem('messenger.name', '"Ann"'));
  await page.reload();
  await page.waitForSelector('.instead');
  assert.match(await page.textContent('.instead'), /cannot be loaded/);
  await write(page, 'soon');
  await page.waitForSelector('.state.waiting');
  await startServer({ port: server.port });
  await live(page);
  await shows(page, ['soon']);
});

it('10,000 messages scroll smoothly, with few of them in the document', async () => {
  const { gateway } = await start();
  const all = Array.from({ length: 10_000 }, (_, i) => ({
    author: ['Ada', 'Grace', 'Edsger'][Math.floor(i / 3) % 3],
    text: `${i + 1} ${'word '.repeat(i % 40)}`.trim(),
  }));
  for (let i = 0; i < all.length; i += 1000) await send(gateway, 'long', ...all.slice(i, i + 1000));
  const page = await visit(gateway, { name: 'Ann', channel: 'long' });
  await until(async () => (await texts(page)).at(-1) === all.at(-1).text, 'the newest is shown');
  // Scrolls as a wheel does, up to the first message, and measures each frame.
  const measured = await page.evaluate(async () => {
    const log = document.getElementById('log');
    const rows = document.getElementById('rows');
    const placeOf = (row) => row.querySelector('.text').getBoundingClientRect().top;
    const numberOf = (row) => parseInt(row.querySelector('.text').textContent, 10);
    const gaps = [];
    const result = { mostRows: 0, jumps: [], broken: 0 };
    let last = performance.now();
    let stuck = 0;
    while (stuck < 200) {
      const top = log.getBoundingClientRect().top;
      const anchor = Array.from(rows.children).find((row) => placeOf(row) >= top);
      const number = numberOf(anchor);
      const place = placeOf(anchor);
      const before = log.scrollTop;
      log.scrollTop -= 600;
      const moved = before - log.scrollTop;
      await new Promise(requestAnimationFrame);
      gaps.push(performance.now() - last);
      last = performance.now();
      // What was at the top has moved down by as much as was scrolled, whatever was added.
      const again = Array.from(rows.children).find((row) => numberOf(row) === number);
      const jump = again ? placeOf(again) - place - moved : 0;
      if (Math.abs(jump) > 2) result.jumps.push([number, jump]);
      const numbers = Array.from(rows.children, numberOf);
      if (numbers.some((value, i) => i > 0 && value !== numbers[i - 1] + 1)) result.broken++;
      result.mostRows = Math.max(result.mostRows, rows.children.length);
      if (numbers[0] === 1 && log.scrollTop === 0) break;
      stuck = moved === 0 ? stuck + 1 : 0;
    }
    gaps.sort((a, b) => a - b);
    result.p50 = gaps[Math.floor(gaps.length / 2)];
    result.p95 = gaps[Math.floor(gaps.length * 0.95)];
    result.worst = gaps.at(-1);
    result.frames = gaps.length;
    result.elements = document.querySelectorAll('*').length;
    result.first = numberOf(rows.firstElementChild);
    return result;
  });
  console.log(`  ${JSON.stringify(measured)}`);
  assert.equal(measured.first, 1);
  assert.ok(measured.mostRows <= 240, 'rows');
  assert.ok(measured.elements < 2500, 'elements');
  assert.deepEqual([measured.jumps, measured.broken], [[], 0]);
  assert.ok(measured.p50 < 25 && measured.p95 < 100, 'smooth');
  await page.waitForSelector('.start');
  // New ones come without moving anything, and are counted.
  await send(gateway, 'long', { author: 'x', text: 'new' });
  await until(async () => (await page.textContent('#jump-text')) === '1 new message', 'the button counts');
  assert.equal(await page.$eval('#log', (log) => log.scrollTop), 0);
  // What was loaded is searched, wherever it is.
  await page.keyboard.press('Control+f');
  await page.fill('#search-text', '5000 WORD');
  await page.waitForSelector('.row.current');
  assert.match(await page.textContent('.row.current .text'), /^5000 /);
  assert.equal(await page.textContent('#search-count'), '1 of 1');
  await page.keyboard.press('Escape');
  await page.click('#jump');
  await until(async () => (await texts(page)).at(-1) === 'new', 'the newest is shown');
  assert.ok((await page.locator('#rows > *').count()) <= 240);
  assert.deepEqual(complaints(page), []);
});

it('a page that is away for thousands of messages catches up', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  await page.context().setOffline(true);
  await page.waitForSelector('#connection[data-state=offline]');
  for (let i = 0; i < 5; i++) {
    await send(gateway, 'general', ...Array.from({ length: 1000 }, (_, j) => ({ text: `${i * 1000 + j}` })));
  }
  await page.context().setOffline(false);
  await until(async () => (await texts(page)).at(-1) === '4999', 'it has caught up');
  assert.ok((await page.locator('#rows > *').count()) <= 240);
});

it('history that is no longer stored ends with a word on it', async () => {
  const { gateway } = await start({ log: fileLog(), options: ['--retention-bytes', '1Mi'] });
  const text = 'x'.repeat(2000);
  for (let i = 0; i < 4; i++) {
    await send(gateway, 'general', ...Array.from({ length: 500 }, () => ({ author: 'x', text })));
  }
  const first = () => call(gateway, 'GET', '/v1/channels/general').then((info) => info.first_sequence);
  await until(async () => (await first()) > 1, 'the first messages are dropped');
  const page = await visit(gateway, { name: 'Ann' });
  await until(async () => {
    await page.$eval('#log', (log) => {
      log.scrollTop = 0;
    });
    return (await page.locator('.start').count()) === 1;
  }, 'the beginning is loaded');
  assert.match(await page.textContent('.start'), /no longer stored/);
  assert.deepEqual(complaints(page), []);
});

const MARKUP =
  '<img src=x onerror="document.title=\'gotcha\'"><b>bold</b>&amp;"\'</div><script>document.title="gotcha"</script>';

it('markup is shown as text, wherever it is', async () => {
  const { gateway } = await start();
  await send(
    gateway,
    'general',
    { author: MARKUP, text: MARKUP },
    { author: 'x', text: 'javascript:alert(1) data:text/html,x //a.example' },
  );
  const page = await visit(gateway, { name: MARKUP });
  await page.waitForSelector('#rows .text');
  assert.equal((await texts(page))[0], MARKUP);
  assert.equal(await page.textContent('#rows .author >> nth=0'), MARKUP);
  assert.equal(await page.textContent('#my-name'), MARKUP);
  assert.equal(await page.locator('#rows .text a').count(), 0);
  await write(page, MARKUP);
  await until(async () => (await texts(page)).length === 3, 'it was sent');
  // The name of a channel, in the address and in the fields.
  await page.evaluate((markup) => {
    location.hash = `#/${markup}`;
  }, MARKUP);
  await page.waitForSelector('.instead');
  assert.equal(await page.textContent('#title bdi'), MARKUP);
  assert.match(await page.textContent('.instead'), /Names may contain only/);
  await page.fill('#filter', MARKUP);
  await page.click('#new-channel');
  await page.fill('#channel-name', MARKUP);
  await page.press('#channel-name', 'Enter');
  assert.match(await page.textContent('#channel-error'), /Names may contain only/);
  await page.goto(`${gateway.url}/#/%zz%`);
  await page.waitForSelector('.instead');
  assert.equal(await page.locator('main img, main script, main b').count(), 0);
  assert.notEqual(await page.title(), 'gotcha');
  assert.deepEqual(complaints(page), []);
});

// The smallest there are: a PNG of one pixel.
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

it('an image is shown, and other data is a file to save', async () => {
  const { gateway } = await start();
  const html = Buffer.from('<script>document.title = "owned"</script>').toString('base64');
  await send(
    gateway,
    'general',
    { author: 'x', text: 'a pixel', data: PIXEL, content_type: 'image/png' },
    { author: 'x', data: html, content_type: 'text/html' },
    { author: 'x', data: html, content_type: 'image/png' },
    { author: 'x', data: html, content_type: 'image/svg+xml' },
    { author: 'x', data: 'AA==' },
    { author: 'x', text: '# x', content_type: 'text/markdown' },
  );
  const page = await visit(gateway, { name: 'Ann' });
  await page.waitForFunction(() => document.querySelectorAll('#rows article').length === 6);
  assert.deepEqual(await page.$$eval('#rows .data', (nodes) => nodes.map((node) => node.textContent)), [
    `${Buffer.from(PIXEL, 'base64').length} bytes of image/png`,
    '41 bytes of text/html',
    '41 bytes of image/png',
    '41 bytes of image/svg+xml',
    '1 byte',
  ]);
  // What is no image, though it says so, leaves no hole.
  await page.waitForFunction(() => document.querySelectorAll('#rows img').length === 1);
  await page.waitForFunction(() => document.querySelector('#rows img').naturalWidth === 1);
  const shown = (nodes) => nodes.map((node) => node.querySelector('.text')?.textContent ?? null);
  assert.deepEqual(await page.$$eval('#rows article', shown), ['a pixel', null, null, null, null, '# x']);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.click('.data:has-text("text/html")'),
  ]);
  assert.match(download.suggestedFilename(), /^general-2/);
  assert.equal(readFileSync(await download.path(), 'base64'), html);
  // Even opened by hand it is saved, and does not run here.
  const url = await page.getAttribute('.data:has-text("text/html")', 'href');
  const tab = await page.context().newPage();
  const [again] = await Promise.all([
    tab.waitForEvent('download'),
    tab.goto(new URL(url, gateway.url).href).catch(() => null),
  ]);
  assert.match(again.suggestedFilename(), /^general-2/);
  assert.notEqual(await page.title(), 'owned');
});

it('right to left, emoji and long words keep their place', async () => {
  const { gateway } = await start();
  const names = ['\u202eevil', 'بدر الدين', '👩‍👩‍👧‍👦 Family', ''];
  await send(
    gateway,
    'general',
    { author: names[0], text: 'left \u202e to right' },
    { author: names[1], text: 'مرحبا https://example.org/a!' },
    { author: names[2], text: '👍🏽 🇫🇷' },
    { author: names[3], text: 'x'.repeat(5000) },
    { author: 'Ann', text: `${'word '.repeat(2000)}end` },
  );
  const page = await visit(gateway, { name: 'Ann', viewport: { width: 360, height: 640 } });
  await until(async () => (await texts(page)).length === 5, 'all are shown');
  const direction = (index) =>
    page.$eval(`#rows .row:nth-child(${index}) .text`, (node) => getComputedStyle(node).direction);
  assert.deepEqual([await direction(1), await direction(2)], ['ltr', 'rtl']);
  assert.equal(await page.getAttribute('#rows a', 'href'), 'https://example.org/a');
  assert.deepEqual(await page.$eval('#rows a', ({ rel, target }) => [rel, target]), ['noopener noreferrer', '_blank']);
  assert.equal(await page.textContent('.row:nth-child(3) .avatar'), '👩‍👩‍👧‍👦F');
  assert.ok(await page.$eval('.row:nth-child(3) .text', (node) => node.classList.contains('emoji')));
  // Nothing is wider than the screen, and the time still stands behind the name.
  assert.ok(await page.$eval('#log', (log) => log.scrollWidth <= log.clientWidth));
  assert.ok(
    await page.$eval(
      '.row:nth-child(1) header',
      (head) =>
        head.querySelector('time').getBoundingClientRect().left >=
        head.querySelector('bdi').getBoundingClientRect().right,
    ),
  );
  // What is long is shown in part, until asked for.
  assert.ok((await page.textContent('.row:nth-child(5) .text')).length < 2000);
  await page.click('.row:nth-child(5) button');
  assert.match(await page.textContent('.row:nth-child(5) .text'), /end$/);
});

it('a message that is refused can be sent again, or discarded', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  await write(page, 'x'.repeat(1_100_000));
  await page.waitForSelector('.state.failed');
  assert.match(await page.textContent('.state.failed'), /Not sent: .*1048576/);
  // Those behind it do not wait for it.
  await write(page, 'short');
  await shows(page, ['short']);
  const again = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.click('.state.failed >> text=Retry');
  assert.equal((await again).status(), 400);
  await page.waitForSelector('.state.failed');
  await page.click('.state.failed >> text=Discard');
  await until(async () => (await page.locator('.pending').count()) === 0, 'it is gone');
  assert.deepEqual(await storedTexts(gateway, 'general'), ['short']);
});

it('a name, a draft and the open channel are remembered', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { channel: 'general' });
  await page.waitForSelector('#name-dialog[open]');
  await page.fill('#name', '  Ann  ');
  await page.press('#name', 'Enter');
  await live(page);
  await page.fill('#text', 'a draft');
  await page.evaluate(() => {
    location.hash = '#/other';
  });
  await page.waitForSelector('#title:has-text("other")');
  assert.equal(await page.inputValue('#text'), '');
  await page.goto(gateway.url);
  await page.waitForSelector('#title:has-text("other")');
  assert.equal(await page.locator('#name-dialog[open]').count(), 0);
  await page.evaluate(() => {
    location.hash = '#/general';
  });
  await until(async () => (await page.inputValue('#text')) === 'a draft', 'the draft is there');
  await page.press('#text', 'Enter');
  await until(async () => (await stored(gateway, 'general'))[0]?.author === 'Ann', 'it is sent as Ann');
  // Another name.
  await page.click('#edit-name');
  await page.fill('#name', 'Anna');
  await page.press('#name', 'Enter');
  await write(page, 'hello');
  await until(async () => (await stored(gateway, 'general'))[1]?.author === 'Anna', 'it is sent as Anna');
});

// What the page says of messages that it may not show.
const refusal = (page) => page.waitForSelector('.instead-title >> text=/Sign in to read|may not read/');

async function signIn(page, token) {
  await page.waitForSelector('#sign-in-dialog[open]');
  await page.fill('#token', token);
  await page.press('#token', 'Enter');
}

const WITH_TOKENS = 'ann send,read general\nbob send,read *\n';

it('who has a token signs in, writes under its identity, and signs out', async () => {
  const door = new Door(WITH_TOKENS);
  const [ann, bob] = [door.add('ann'), door.add('bob')];
  const server = await startServer({ options: door.serverOptions });
  const gateway = await startGateway(server, { options: door.httpsOptions });
  const plain = await startGateway(server);
  const bobSays = (text) => call(plain, 'POST', '/v1/channels/general/messages', { text }, bob);
  await bobSays('hello');
  const page = await visit(gateway, { ignoreHTTPSErrors: true });
  // A token that is none is told, and can be corrected.
  await signIn(page, 'not a token');
  await page.waitForSelector('#sign-in-error >> text=not known');
  assert.deepEqual(await texts(page), []);
  await signIn(page, ann);
  await page.waitForSelector('#sign-in-dialog', { state: 'hidden' });
  await live(page);
  await shows(page, ['hello']);
  // No name is asked for, and none is sent.
  assert.equal(await page.locator('#name-dialog[open]').count(), 0);
  assert.equal(await page.isVisible('#edit-name'), false);
  await write(page, 'hi bob');
  await shows(page, ['hello', 'hi bob']);
  await until(async () => (await page.textContent('#signed-in')) === 'Signed in as ann', 'it knows who that is');
  await until(async () => (await page.locator('.pending').count()) === 0, 'nothing waits');
  assert.deepEqual(await page.$$eval('#rows .author', (nodes) => nodes.map((node) => node.textContent)), [
    'bob',
    'ann',
  ]);
  await bobSays('live');
  await shows(page, ['hello', 'hi bob', 'live']);
  // Scripts do not see it, and nothing of the page keeps it.
  const kept = await page.evaluate(() => [
    document.cookie,
    JSON.stringify({ ...localStorage, ...sessionStorage }),
    document.getElementById('token').value,
  ]);
  assert.ok(!kept.join().includes(ann), kept.join());
  const [cookie] = await page.context().cookies();
  assert.deepEqual(
    [cookie.name, cookie.value, cookie.httpOnly, cookie.secure, cookie.sameSite],
    ['__Host-messenger_token', ann, true, true, 'Strict'],
  );
  await page.reload();
  await shows(page, ['hello', 'hi bob', 'live']);
  assert.equal(await page.textContent('#signed-in'), 'Signed in');
  await page.click('#sign-out');
  await refusal(page);
  assert.deepEqual(await texts(page), []);
  await until(async () => (await page.locator('.channel').count()) <= 1, 'the channels are gone');
  assert.deepEqual(await page.context().cookies(), []);
  // The keyboard alone does, too.
  await page.waitForSelector('#sign-in-dialog[open]');
  await page.keyboard.press('Escape');
  await page.focus('#sign-in');
  await page.keyboard.press('Enter');
  await signIn(page, bob);
  await shows(page, ['hello', 'hi bob', 'live']);
  assert.deepEqual(
    complaints(page, { outage: true }),
    [],
  );
});

it('a server that knows no tokens says so, and signs nobody in', async () => {
  const gateway = await startGateway(await startServer());
  const page = await visit(gateway, { name: 'ann' });
  await page.evaluate(() => document.getElementById('sign-in').click());
  await signIn(page, 'anything');
  await page.waitForSelector('#sign-in-error >> text=knows no tokens');
  assert.deepEqual(await page.context().cookies(), []);
  await page.reload();
  await page.waitForSelector('#sign-in:not([hidden])', { state: 'attached' });
  assert.deepEqual(complaints(page, { outage: true }), []);
});

it('a token that is revoked ends what is open, and is asked for again', async () => {
  const door = new Door(WITH_TOKENS);
  const [ann, bob] = [door.add('ann'), door.add('bob')];
  const server = await startServer({ options: door.serverOptions });
  const gateway = await startGateway(server);
  const page = await visit(gateway);
  await signIn(page, ann);
  await live(page);
  await write(page, 'mine');
  await shows(page, ['mine']);
  let streams = 0;
  page.on('request', (request) => {
    streams += request.url().includes('/stream?') ? 1 : 0;
  });
  door.revoke(ann);
  await refusal(page);
  await page.waitForSelector('#sign-in-dialog[open] >> text=not valid any more');
  await call(gateway, 'POST', '/v1/channels/general/messages', { text: 'not for her' }, bob);
  assert.deepEqual(await texts(page), []);
  assert.equal(streams, 0);
  await page.click('#sign-in-dialog >> text=Not now');
  await page.waitForSelector('#connection[data-state=refused]');
  await page.click('.instead button.primary');
  await signIn(page, bob);
  await shows(page, ['mine', 'not for her']);
  assert.deepEqual(complaints(page, { outage: true }), []);
});

it('a channel that may not be read says so, and the others go on', async () => {
  const door = new Door(WITH_TOKENS);
  const [ann, bob] = [door.add('ann'), door.add('bob')];
  const server = await startServer({ options: door.serverOptions });
  const gateway = await startGateway(server);
  await call(gateway, 'POST', '/v1/channels/general/messages', { text: 'for all' }, bob);
  await call(gateway, 'POST', '/v1/channels/secret/messages', { text: 'for bob' }, bob);
  const page = await visit(gateway, { channel: 'secret' });
  await signIn(page, ann);
  await page.waitForSelector('.instead >> text=may not read "secret"');
  assert.deepEqual(await page.$$eval('.channel .name', (nodes) => nodes.map((node) => node.textContent)), [
    'general',
    'secret',
  ]);
  await page.click('a[href="#/general"]');
  await shows(page, ['for all']);
  await live(page);
  // The right to read the open channel goes, and comes back.
  door.rights = 'ann send,read other\n';
  await page.waitForSelector('.instead >> text=may not read "general"');
  await write(page, 'in vain');
  await page.waitForSelector('.state.failed >> text=may not send');
  door.rights = WITH_TOKENS;
  await until(async () => {
    if (await page.isVisible('.instead >> text=Try again')) await page.click('.instead >> text=Try again');
    return (await texts(page)).length > 0;
  }, 'it may be read again');
  await page.click('.state.failed >> text=Retry');
  await shows(page, ['for all', 'in vain']);
  assert.deepEqual(complaints(page, { outage: true }), []);
});

it('a channel begins when it is written to', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  await page.click('#new-channel');
  await page.fill('#channel-name', 'new one');
  await page.press('#channel-name', 'Enter');
  assert.match(await page.textContent('#channel-error'), /Names may contain only/);
  await page.fill('#channel-name', '#new.one');
  await page.press('#channel-name', 'Enter');
  await page.waitForSelector('.instead:has-text("#new.one is empty")');
  await write(page, 'first');
  await shows(page, ['first']);
  assert.deepEqual(
    (await call(gateway, 'GET', '/v1/channels')).channels.map(({ channel }) => channel),
    ['new.one'],
  );
  // From the field above the list, too, which finds what begins with it first.
  await send(gateway, 'a-new', { text: 'x' });
  await page.waitForSelector('a[href="#/a-new"]');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('NEW');
  assert.deepEqual(await page.$$eval('.channel bdi', (names) => names.map((name) => name.textContent)), [
    'new.one',
    'a-new',
    '#NEW',
  ]);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('third');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#title:has-text("third")');
});

it('it can be used with the keyboard alone', async () => {
  const { gateway } = await start();
  for (const channel of ['alpha', 'beta', 'gamma']) {
    await send(
      gateway,
      channel,
      { author: 'x', text: `one in ${channel}` },
      { author: 'y', text: 'Two' },
      { author: 'x', text: 'two, too' },
    );
  }
  const page = await visit(gateway, { name: 'Ann', channel: 'alpha' });
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute('href'));
  await shows(page, ['one in alpha', 'Two', 'two, too']);
  assert.equal(await focused(), 'text');
  await page.focus('#log');
  // From message to message.
  const at = () => page.evaluate(() => document.activeElement.querySelector('.text')?.textContent);
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  assert.equal(await at(), 'Two');
  await page.keyboard.press('ArrowDown');
  assert.equal(await at(), 'two, too');
  await page.keyboard.press('/');
  assert.equal(await focused(), 'filter');
  await page.keyboard.type('ga');
  await page.waitForSelector('a[href="#/ga"]');
  await page.keyboard.press('Escape');
  await page.keyboard.press('ArrowDown');
  assert.equal(await focused(), '#/alpha');
  await page.keyboard.press('End');
  assert.equal(await focused(), '#/gamma');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await shows(page, ['one in beta', 'Two', 'two, too']);
  assert.equal(await focused(), 'text');
  await page.keyboard.press('Control+f');
  await page.keyboard.type('two');
  assert.equal(await page.textContent('#search-count'), '1 of 2');
  assert.equal(await page.textContent('.row.current .text'), 'two, too');
  assert.equal(await page.evaluate(() => CSS.highlights.get('found').size), 2);
  await page.keyboard.press('Enter');
  assert.equal(await page.textContent('.row.current .text'), 'Two');
  await page.keyboard.press('Shift+Enter');
  assert.equal(await page.textContent('.row.current .text'), 'two, too');
  await page.fill('#search-text', '(nothing[');
  assert.match(await page.textContent('#search-count'), /No match in 3 messages/);
  await page.keyboard.press('Escape');
  assert.equal(await page.isVisible('#search'), false);
  assert.equal(await focused(), 'text');
  // An input method's Enter sends nothing.
  await page.fill('#text', 'かな');
  await page.$eval('#text', (text) =>
    text.dispatchEvent(
      new KeyboardEvent('keydown', {
        key: 'Enter',
        isComposing: true,
        bubbles: true,
        cancelable: true,
      }),
    ),
  );
  assert.equal(await page.inputValue('#text'), 'かな');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('b');
  await page.keyboard.press('Enter');
  await shows(page, ['one in beta', 'Two', 'two, too', 'かな\nb']);
  // The first stop leads past the list.
  await page.reload();
  await shows(page, ['one in beta', 'Two', 'two, too', 'かな\nb']);
  await page.focus('a, button');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'text');
  assert.deepEqual(complaints(page), []);
});

it('on a narrow screen the list is a drawer', async () => {
  const { gateway } = await start();
  await send(gateway, 'alpha', { text: 'a' });
  await send(gateway, 'beta', { text: 'b' });
  const page = await visit(gateway, {
    name: 'Ann',
    channel: 'alpha',
    viewport: { width: 360, height: 640 },
  });
  assert.equal(await page.isVisible('#sidebar'), false);
  await page.click('#open-sidebar');
  await page.waitForSelector('#sidebar', { state: 'visible' });
  // The focus is in it, and cannot leave it for what is behind.
  assert.ok(
    await page.evaluate(() => document.activeElement.closest('#sidebar') && document.getElementById('main').inert),
  );
  await page.keyboard.press('Escape');
  await page.waitForSelector('#sidebar', { state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement.id), 'open-sidebar');
  await page.click('#open-sidebar');
  await page.click('a[href="#/beta"]');
  await page.waitForSelector('#sidebar', { state: 'hidden' });
  await shows(page, ['b']);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
});

// ---- pages of others

async function serve(html) {
  const server = http.createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end(html);
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

// What a page of another origin gets from the gateway, tried in all ways.
async function attack(page, target) {
  return page.evaluate(async (url) => {
    const tryIt = (promise) =>
      promise.then(
        (value) => `got ${value}`,
        () => 'nothing',
      );
    const text = (response) => (response.type === 'opaque' ? 'opaque' : response.text());
    const post = (path, mode) =>
      tryIt(
        fetch(url + path, {
          method: 'POST',
          mode,
          headers: { 'Content-Type': 'text/plain' },
          body: '{"author":"evil","text":"evil"}',
          credentials: 'include',
        }).then(text),
      );
    const source = new EventSource(`${url}/v1/channels/general/stream?from=earliest`);
    const stream = new Promise((resolve) => {
      source.onmessage = ({ data }) => resolve(`got ${data}`);
      source.onerror = () => resolve('nothing');
    });
    const script = new Promise((resolve) => {
      const node = Object.assign(document.createElement('script'), {
        src: `${url}/page/api.js`,
        type: 'module',
      });
      node.onload = () => resolve('loaded');
      node.onerror = () => resolve('nothing');
      document.head.append(node);
    });
    const image = new Promise((resolve) => {
      const node = new Image();
      node.onload = () => resolve('loaded');
      node.onerror = () => resolve('nothing');
      node.src = `${url}/page/icon.svg`;
    });
    const form = new Promise((resolve) => {
      const frame = Object.assign(document.createElement('iframe'), { name: 'posted' });
      frame.onload = () => setTimeout(resolve, 200, 'sent');
      document.body.append(frame);
      const node = Object.assign(document.createElement('form'), {
        action: `${url}/sendMessage`,
        method: 'post',
        enctype: 'text/plain',
        target: 'posted',
      });
      const field = Object.assign(document.createElement('input'), {
        name: '{"author":"evil","text":"',
        value: 'evil"}',
      });
      node.append(field);
      document.body.append(node);
      node.submit();
    });
    const result = {
      send: await post('/sendMessage', 'cors'),
      read: await tryIt(fetch(`${url}/v1/channels/general/messages`).then(text)),
      stream: await stream,
      script: await script,
      image: await image,
    };
    // Its answer cannot be read, but it might have done something.
    await post('/sendMessage', 'no-cors');
    await post('/getAndFlushMessages', 'no-cors');
    await post('/v1/channels/general/messages', 'no-cors');
    await form;
    source.close();
    return result;
  }, target);
}

it('pages of other origins get nothing, and do nothing', async () => {
  const { gateway } = await start();
  await send(gateway, 'general', { author: 'Ann', text: 'secret' });
  const strangers = await serve('<!doctype html><title>strangers</title><body>');
  const context = await browser.newContext();
  try {
    for (const origin of [
      `http://127.0.0.1:${strangers.address().port}`,
      `http://localhost:${strangers.address().port}`,
      `http://evil.test:${strangers.address().port}`,
    ]) {
      const page = await context.newPage();
      await page.goto(origin);
      const nothing = 'nothing';
      assert.deepEqual(
        await attack(page, gateway.url),
        { send: nothing, read: nothing, stream: nothing, script: nothing, image: nothing },
        origin,
      );
      // Framed, it is not there.
      await page.evaluate((url) => {
        const frame = Object.assign(document.createElement('iframe'), { id: 'framed', src: url });
        document.body.append(frame);
        return new Promise((resolve) => {
          frame.onload = resolve;
        });
      }, gateway.url);
      const frames = page.frames().slice(1);
      for (const frame of frames) assert.equal(await frame.locator('#text').count(), 0);
      await page.close();
    }
    // None was stored, none was taken out of the postbox.
    assert.deepEqual(await storedTexts(gateway, 'general'), ['secret']);
    assert.deepEqual(
      (await call(gateway, 'POST', '/getAndFlushMessages')).map(({ text }) => text),
      ['secret'],
    );
  } finally {
    await context.close();
    strangers.close();
  }
});

it('a name of strangers that leads here gets nothing', async () => {
  const { gateway } = await start();
  await send(gateway, 'general', { author: 'Ann', text: 'secret' });
  const context = await browser.newContext();
  const page = await context.newPage();
  const url = `http://rebound.test:${gateway.port}`;
  await page.route(`${url}/theirs`, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
  for (const path of ['/', '/page/main.js', '/v1/channels/general/messages']) {
    const response = await page.goto(url + path);
    assert.equal(response.status(), 421, path);
    assert.doesNotMatch(await response.text(), /secret/);
  }
  // Their page was loaded before the name began to lead here.
  await page.goto(`${url}/theirs`);
  assert.deepEqual(
    await page.evaluate(() =>
      Promise.all([
        fetch('/v1/channels/general/messages').then(({ status }) => status),
        fetch('/getAndFlushMessages', { method: 'POST' }).then(({ status }) => status),
      ]),
    ),
    [421, 421],
  );
  await context.close();
});

it('a link on a page of others opens it, in a tab that is its own', async () => {
  const { gateway } = await start();
  await send(gateway, 'general', { author: 'Ann', text: 'hello' });
  const wiki = await serve(`<!doctype html><a href="${gateway.url}/#/general">chat</a>
    <a id=api href="${gateway.url}/v1/channels">api</a><button onclick="opened = window.open('${gateway.url}/')">open</button>`);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`http://wiki.test:${wiki.address().port}/`);
    const popup = context.waitForEvent('page');
    await page.click('button');
    await (await popup).waitForSelector('#text');
    // It keeps no hold of it.
    await until(() => page.evaluate(() => opened.closed), 'the opener has lost it');
    const [answer] = await Promise.all([page.waitForResponse('**/v1/channels'), page.click('#api')]);
    assert.equal(answer.status(), 403);
    await page.goBack();
    await page.click('text=chat');
    await page.waitForSelector('#rows .text');
    await page.reload();
    await page.waitForSelector('#rows .text');
  } finally {
    await context.close();
    wiki.close();
  }
});

it('nothing is asked of another host, and each file says what it is', async () => {
  const { gateway } = await start();
  const page = await visit(gateway, { name: 'Ann' });
  const types = new Map();
  const origins = new Set();
  page.on('response', (response) => {
    const url = new URL(response.url());
    origins.add(url.origin);
    types.set(url.pathname, response.headers()['content-type']);
  });
  await page.reload();
  await live(page);
  await write(page, 'hello');
  await shows(page, ['hello']);
  assert.deepEqual([...origins], [gateway.url]);
  assert.equal(types.get('/page/style.css'), 'text/css; charset=utf-8');
  assert.equal(types.get('/page/main.js'), 'text/javascript; charset=utf-8');
  const first = await fetch(`${gateway.url}/`);
  assert.equal(first.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(
    first.headers.get('content-security-policy'),
    /^default-src 'none'; script-src 'self';.*frame-ancestors 'none'/,
  );
  assert.equal(first.headers.get('cache-control'), 'no-cache');
  assert.equal(first.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(first.headers.get('cross-origin-opener-policy'), 'same-origin');
  const again = await fetch(`${gateway.url}/`, {
    headers: { 'If-None-Match': first.headers.get('etag') },
  });
  assert.equal(again.status, 304);
  const head = await fetch(`${gateway.url}/`, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), String((await first.arrayBuffer()).byteLength));
  assert.equal((await fetch(`${gateway.url}/page/none.js`)).status, 404);
});

// ---- for all eyes

const SIZES = {
  narrow: { width: 360, height: 740 },
  middle: { width: 768, height: 900 },
  wide: { width: 1440, height: 900 },
};
const SCHEMES = ['light', 'dark'];

// What people would write.
const TALK = [
  ['Ada Lovelace', 'Morning! The new nodes are up. Notes are at https://wiki.example/nodes (two pages, promise).'],
  ['Ada Lovelace', 'Could somebody look at the retention settings before we send them traffic?'],
  ['Edsger', 'On it. Seven days, or by size?'],
  ['Ada Lovelace', 'By size: 200 GB a channel. Age alone has bitten us before.'],
  ['بدر الدين', 'صباح الخير! الأرقام من الليلة الماضية جيدة جدا.'],
  [
    'Grace Hopper',
    'Last night’s replay: 5.8 M messages/s from disk, and 0.17 s until the 5 GB log was open again.\nNothing lost, nothing twice.',
  ],
  ['Edsger', '🎉'],
  ['Grace Hopper', 'I pulled the plug twice while it ran. The readers just went on where they were.'],
  ['Edsger', 'Settings are in. Have a look at https://wiki.example/retention#size, please.'],
  ['Ada Lovelace', 'Looks right to me. Shall we?'],
];

async function talk(gateway) {
  await send(gateway, 'general', ...TALK.map(([author, text]) => ({ author, text })));
  for (const [channel, count] of [
    ['alerts', 3],
    ['deploys', 12],
    ['incidents-2026-11-28-the-one-with-the-long-name', 1],
    ['random', 1],
    ['reading-group', 2],
  ]) {
    await send(
      gateway,
      channel,
      ...Array.from({ length: count }, (_, i) => ({ author: 'Grace Hopper', text: `${i}` })),
    );
  }
}

// Everything that can be on the screen: [name, how to get there].
const VIEWS = [
  [
    'chat',
    async (page, gateway) => {
      await send(gateway, 'deploys', ...Array.from({ length: 4 }, () => ({ author: 'Grace Hopper', text: 'done' })));
      await write(page, 'Yes. Rolling it out now: one node, then the rest.');
      await page.waitForSelector('.badge', { state: 'attached' });
      await page.waitForSelector('#rows .state.sent');
    },
  ],
  [
    'search',
    async (page) => {
      await page.click('#open-search');
      await page.fill('#search-text', 'set');
      await page.waitForSelector('.row.current');
    },
  ],
  [
    'failed',
    async (page) => {
      await page.route('**/messages', (route) =>
        route.fulfill({
          status: 400,
          contentType: 'application/problem+json',
          body: JSON.stringify({ detail: 'text: is too long, must have 1048576 bytes at most' }),
        }),
      );
      await write(page, 'This one is refused.');
      await page.waitForSelector('.state.failed');
    },
  ],
  [
    'drawer',
    async (page) => {
      if (await page.isVisible('#open-sidebar')) await page.click('#open-sidebar');
      await page.waitForSelector('#sidebar', { state: 'visible' });
      await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
    },
  ],
  [
    'find',
    async (page) => {
      await page.keyboard.press('Control+k');
      await page.keyboard.type('re');
      await page.waitForSelector('.channel.new');
      await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
    },
  ],
  [
    'name',
    async (page) => {
      await page.evaluate(() => document.getElementById('edit-name').click());
    },
  ],
  [
    'sign-in',
    async (page) => {
      await page.evaluate(() => document.getElementById('sign-in').click());
      await page.route('**/v1/session', (route) =>
        route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"detail":"no"}' }));
      await page.fill('#token', 'messenger_0');
      await page.press('#token', 'Enter');
      await page.waitForSelector('#sign-in-error >> text=not known');
      await page.unroute('**/v1/session');
    },
  ],
  [
    'signed-in',
    async (page) => {
      await page.route('**/v1/session', (route) => route.fulfill({ json: { signed_in: true } }));
      await page.reload();
      await page.waitForSelector('#signed-in:not([hidden])', { state: 'attached' });
      if (await page.isVisible('#open-sidebar')) await page.click('#open-sidebar');
      await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
      await page.unroute('**/v1/session');
    },
  ],
  [
    'refused',
    async (page) => {
      await page.route('**/messages?*', (route) =>
        route.fulfill({
          status: 401,
          contentType: 'application/problem+json',
          body: '{"detail":"to read takes a token"}',
        }));
      await page.reload();
      await page.click('#sign-in-dialog >> text=Not now');
      await page.waitForSelector('.instead');
      await page.unroute('**/messages?*');
    },
  ],
  [
    'new-channel',
    async (page) => {
      await page.evaluate(() => document.getElementById('new-channel').click());
      await page.fill('#channel-name', 'no blanks');
      await page.press('#channel-name', 'Enter');
    },
  ],
  [
    'empty',
    async (page) => {
      await page.evaluate(() => {
        location.hash = '#/brand-new';
      });
      await page.waitForSelector('.instead');
    },
  ],
  [
    'wrong-channel',
    async (page) => {
      await page.evaluate(() => {
        location.hash = '#/no such channel';
      });
      await page.waitForSelector('.instead');
    },
  ],
  [
    'unread',
    async (page, gateway) => {
      await page.evaluate(() => {
        location.hash = '#/random';
      });
      await page.waitForSelector('#title:has-text("random")');
      await send(
        gateway,
        'general',
        { author: 'Edsger', text: 'Node one has taken its traffic.' },
        { author: 'Edsger', text: 'All quiet.' },
      );
      await page.waitForSelector('a[href="#/general"] .badge', { state: 'attached' });
      await page.evaluate(() => {
        location.hash = '#/general';
      });
      await page.waitForSelector('.unread');
    },
  ],
  [
    'away',
    async (page, gateway, server) => {
      await server.stop();
      await page.waitForSelector('#connection[data-state=away]');
      await write(page, 'Are you still there?');
      await page.waitForSelector('.state.waiting');
    },
  ],
  [
    'offline',
    async (page) => {
      await page.context().setOffline(true);
      await page.waitForSelector('#connection[data-state=offline]');
    },
  ],
  [
    'unreachable',
    async (page, gateway, server) => {
      await server.stop();
      await page.reload();
      await page.waitForSelector('.instead');
    },
  ],
];

const AXE = readFileSync(AXE_FILE, 'utf8');

// What axe-core finds wrong, as lines.
async function accessibilityFaults(page) {
  const { violations } = await page.evaluate(async (source) => {
    if (!globalThis.axe) (0, eval)(source);
    return globalThis.axe.run(document, { resultTypes: ['violations'] });
  }, AXE);
  return violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`,
  );
}

// Returns what is wrong.
async function lookAtAll(size, scheme) {
  const faults = [];
  const log = fileLog();
  let { server, gateway } = await start({ log });
  await talk(gateway);
  const page = await visit(gateway, {
    name: 'Ann Droid',
    viewport: SIZES[size],
    colorScheme: scheme,
    bypassCSP: true,
    reducedMotion: 'reduce',
  });
  for (const [view, show] of VIEWS) {
    await show(page, gateway, server);
    await page.screenshot({ path: `${screenshots}/${view}-${size}-${scheme}.png` });
    const found = size === 'middle' ? [] : await accessibilityFaults(page);
    for (const fault of found) faults.push(`${view}, ${size}, ${scheme}: ${fault}`);
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth))
      faults.push(`${view}, ${size}: is too wide`);
    // Back to where it began.
    await page.unroute('**/messages');
    await page.context().setOffline(false);
    if (server.process.exitCode !== null) server = await startServer({ port: server.port, log });
    await page.evaluate(() => {
      sessionStorage.clear();
      location.hash = '#/general';
    });
    await page.reload();
    await live(page);
  }
  return faults;
}

it('the README shows it', async () => {
  const { gateway } = await start();
  await talk(gateway);
  const page = await visit(gateway, {
    name: 'Ann Droid',
    viewport: { width: 1080, height: 700 },
    reducedMotion: 'reduce',
  });
  await VIEWS[0][1](page, gateway);
  await page.screenshot({ path: `${screenshots}/readme.png` });
  if (process.env.MESSENGER_UPDATE_SCREENSHOT) {
    copyFileSync(`${screenshots}/readme.png`, new URL('../../docs/images/chat.png', import.meta.url));
  }
});

it('everything looks right and is accessible, narrow and wide, light and dark', async () => {
  const all = SCHEMES.flatMap((scheme) => Object.keys(SIZES).map((size) => lookAtAll(size, scheme)));
  assert.deepEqual((await Promise.all(all)).flat(), []);
});
