// What the browser tests stand on: the programs, Chromium, and waiting for what
// is to happen, with a deadline.
//
//   $SERVER, $GATEWAY    the programs
//   $WORK                where node_modules is, and screenshots go

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

const { SERVER, GATEWAY, WORK } = process.env;
const require = createRequire(path.join(WORK, 'node_modules', '/'));
const { chromium } = require('playwright-core');
export const AXE_FILE = require.resolve('axe-core/axe.min.js');

export const DEADLINE_MS = 20_000;
export const screenshots = path.join(WORK, 'screenshots');
mkdirSync(screenshots, { recursive: true });

// Waits for what no event tells of.
export async function until(condition, what) {
  const end = performance.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

// A server or gateway that has said that it listens.
class Program {
  static async start(command, ...options) {
    const program = new Program();
    program.process = spawn(command, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    program.said = '';
    program.process.stderr.on('data', (data) => {
      program.said += data;
    });
    const lines = createInterface(program.process.stdout);
    const [line] = await Promise.race([
      once(lines, 'line'),
      once(program.process, 'exit').then(() => [`it ended: ${program.said}`]),
    ]);
    program.port = Number(/listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1]);
    if (!program.port) throw new Error(`${command}: ${line}`);
    return program;
  }

  async stop(signal = 'SIGTERM') {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill(signal);
    await once(this.process, 'exit');
  }
}

const started = [];
const folders = [];

export async function startServer({ port = 0, log = 'memory:', options = [] } = {}) {
  const server = await Program.start(SERVER, '--listen', `127.0.0.1:${port}`, '--log', log, ...options);
  started.push(server);
  return server;
}

export async function startGateway(server, { port = 0, options = [] } = {}) {
  const gateway = await Program.start(
    GATEWAY,
    '--server',
    `127.0.0.1:${server.port}`,
    '--listen',
    `127.0.0.1:${port}`,
    '--timeout',
    '1s',
    ...options,
  );
  const scheme = options.includes('--https-cert') ? 'https' : 'http';
  gateway.url = `${scheme}://127.0.0.1:${gateway.port}`;
  started.push(gateway);
  return gateway;
}

function newFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'messenger-browser-'));
  folders.push(folder);
  return folder;
}

export const fileLog = () => `file:${newFolder()}/log`;

// What an operator has who secures a server: tokens, rights, and certificates.
export class Door {
  #folder = newFolder();
  serverOptions = ['--tokens', `${this.#folder}/tokens`, '--rights', `${this.#folder}/rights`];
  httpsOptions = ['--https-cert', `${this.#folder}/tls/server.pem`, '--https-key', `${this.#folder}/tls/server.key`];

  constructor(rights) {
    this.rights = rights;
    writeFileSync(`${this.#folder}/tokens`, '');
    this.#tool('init-tls', `${this.#folder}/tls`, '--name', '127.0.0.1');
  }

  set rights(text) {
    writeFileSync(`${this.#folder}/rights.new`, text);
    renameSync(`${this.#folder}/rights.new`, `${this.#folder}/rights`);
  }

  add(identity) {
    return this.#tool('token', 'add', '--tokens', `${this.#folder}/tokens`, '--identity', identity).trim();
  }

  revoke(token) {
    this.#tool('token', 'revoke', '--tokens', `${this.#folder}/tokens`, token.split('_')[1]);
  }

  #tool(...options) {
    return execFileSync(SERVER, options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  }
}

// `token`: of whoever calls.
export async function call(gateway, method, target, body, token) {
  const response = await fetch(gateway.url + target, {
    method,
    body: body && JSON.stringify(body),
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  });
  if (!response.ok) throw new Error(`${method} ${target}: ${response.status} ${await response.text()}`);
  return response.json();
}

export const send = (gateway, channel, ...messages) =>
  call(gateway, 'POST', `/v1/channels/${channel}/messages`, messages);

// What is stored in a channel.
export async function stored(gateway, channel) {
  const { messages } = await call(gateway, 'GET', `/v1/channels/${channel}/messages?last=1000&limit=1000`);
  return messages;
}

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    '--no-sandbox',
    '--disable-dev-shm-usage',
    // A name that leads here, as a page of strangers has it (DNS rebinding).
    '--host-resolver-rules=MAP *.test 127.0.0.1',
    // Newer browsers stand before the gateway; older ones do not.
    '--disable-features=LocalNetworkAccessChecks',
  ],
});

const contexts = [];

// A page of a visitor of their own: {name, channel, …options of the context}.
// What it says on the console, and errors, are in `page.said`.
export async function visit(gateway, { name, channel = 'general', seen, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1024, height: 720 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    ...options,
  });
  contexts.push(context);
  context.setDefaultTimeout(DEADLINE_MS);
  await context.addInitScript(
    ([key, value]) => {
      if (value && !localStorage.getItem(key)) localStorage.setItem(key, JSON.stringify(value));
    },
    ['messenger.name', name],
  );
  if (seen) {
    await context.addInitScript((value) => {
      if (!localStorage.getItem('messenger.seen')) localStorage.setItem('messenger.seen', JSON.stringify(value));
    }, seen);
  }
  const page = await context.newPage();
  page.said = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && page.said.push(message.text()));
  page.on('pageerror', (error) => page.said.push(`${error.stack}`));
  await page.goto(`${gateway.url}/#/${channel}`);
  if (name) await live(page);
  return page;
}

export const live = (page) => page.waitForSelector('#connection[data-state=live]');

export async function write(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

export const texts = (page) => page.$$eval('#rows .text', (nodes) => nodes.map((node) => node.textContent));

// Waits until the page shows these texts, and nothing else.
export function shows(page, expected) {
  return until(
    async () => JSON.stringify(await texts(page)) === JSON.stringify(expected),
    `the page shows ${expected}`,
  ).catch(async (error) => {
    throw new Error(`${error.message}; it shows ${JSON.stringify(await texts(page))}`);
  });
}

// What browsers say themselves when there is no connection, or no server.
const EXPECTED_OF_OUTAGE = /Failed to load resource|net::ERR_/;

export function complaints(page, { outage = false } = {}) {
  return page.said.filter((line) => !(outage && EXPECTED_OF_OUTAGE.test(line)));
}

// Ends all that a test has begun; if it failed, its pages are kept as pictures.
export async function cleanUp(failedTest) {
  if (failedTest) {
    const pages = contexts.flatMap((context) => context.pages());
    for (const [i, page] of pages.entries()) {
      const file = path.join(screenshots, `failed-${failedTest.replace(/\W+/g, '-')}-${i}.png`);
      await page.screenshot({ path: file }).catch(() => {});
    }
  }
  await Promise.all(contexts.splice(0).map((context) => context.close()));
  await Promise.all(started.splice(0).map((program) => program.stop('SIGKILL')));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}
