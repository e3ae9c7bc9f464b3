// The live messages of a channel. An EventSource gives up when it is answered
// with an error, such as 503; this one comes back, each time a little later, and
// goes on after the last message that has arrived.

import { ApiError, readPage, streamUrl } from './api.js';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const BATCH_MS = 16;

export class Stream {
  #channel;
  #after;
  #on;
  #source = null;
  #retryTimer = 0;
  #batchTimer = 0;
  #batch = [];
  #failures = 0;

  // `on.messages(list)`; `on.gap(gap)`, after which the stream is of no use;
  // `on.refused(error)`, likewise; `on.state('connecting' | 'live' | 'away' | 'lost', retryAt)`.
  constructor(channel, after, on) {
    this.#channel = channel;
    this.#after = after;
    this.#on = on;
    this.#open();
  }

  close() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#batchTimer);
    this.#retryTimer = 0;
  }

  // Until `reconnect`.
  pause() {
    this.#flush();
    this.close();
  }

  // Connects at once, if it waits; `force`: even if it believes that it stands.
  reconnect(force = false) {
    if (this.#source && !force) return;
    this.pause();
    this.#open();
  }

  #open() {
    this.#on.state('connecting');
    const source = new EventSource(streamUrl(this.#channel, this.#after));
    this.#source = source;
    source.addEventListener('joined', (event) => {
      this.#after = event.lastEventId;
      this.#failures = 0;
    });
    // The server has gone; the gateway waits for it.
    source.addEventListener('waiting', () => this.#on.state('away'));
    for (const sign of ['joined', 'message', 'caught-up', 'heartbeat']) {
      source.addEventListener(sign, () => this.#on.state('live'));
    }
    source.addEventListener('message', (event) => this.#take(event));
    source.addEventListener('gap', (event) => {
      this.#flush();
      this.#on.gap(JSON.parse(event.data));
    });
    // It ends: the right to read it is gone, for example.
    source.addEventListener('problem', (event) => {
      const problem = JSON.parse(event.data);
      this.#flush();
      this.#refuse(new ApiError(problem.status, problem));
    });
    source.addEventListener('error', () => {
      // It does not say what it was answered.
      const isAnswered = source.readyState === EventSource.CLOSED;
      this.#lose();
      if (isAnswered) this.#askWhy();
    });
  }

  #refuse(error) {
    if (!error.isRefused) return;
    this.close();
    this.#on.refused(error);
  }

  async #askWhy() {
    const timer = this.#retryTimer;
    try {
      await readPage(this.#channel, { after: this.#after, limit: 1 });
    } catch (error) {
      // Unless it was closed meanwhile, or has connected.
      if (this.#retryTimer === timer) this.#refuse(error);
    }
  }

  #take(event) {
    this.#after = event.lastEventId;
    this.#batch.push(JSON.parse(event.data));
    if (!this.#batchTimer) this.#batchTimer = setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush() {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = 0;
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length > 0) this.#on.messages(batch);
  }

  #lose() {
    this.pause();
    const longest = Math.min(FIRST_WAIT_MS * 2 ** this.#failures++, LONGEST_WAIT_MS);
    // Those that a restart has sent away do not all come back at once.
    const wait = longest * (0.5 + Math.random() / 2);
    this.#retryTimer = setTimeout(() => this.#open(), wait);
    this.#on.state('lost', Date.now() + wait);
  }
}
