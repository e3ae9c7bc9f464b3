// What was written here and has not been seen in the channel yet.
//
// Each message arrives once, whatever happens to the answers: it is sent with a
// key, by which the log knows it again when it is sent once more.

import { sendMessage } from './api.js';
import { outbox as store } from './store.js';

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

// crypto.randomUUID is there on https and localhost only.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// Its events: 'change' of the channel `detail`; 'failed', with the error.
export class Outbox extends EventTarget {
  // In order. `state`: 'sending'; 'waiting', until there is a connection;
  // 'sent', with its place (`epoch`, `sequence`); 'failed', with `error`.
  // `hasCome`: it has been seen in the channel, and the answer has not.
  #entries = store.get().map((entry) =>
    entry.state === 'sending' ? { ...entry, state: 'waiting', hasCome: false } : entry);
  // Channels of which a message is on its way: one at a time keeps the order.
  #busy = new Set();
  #wake = new Map();
  // The place of the last one that was sent.
  lastSent = null;
  // Under which name the server has stored what was sent without one.
  identity = null;
  #isSignedIn;

  // `isSignedIn()`: then messages have no author; the server knows whose they are.
  constructor(isSignedIn) {
    super();
    this.#isSignedIn = isSignedIn;
  }

  // Those that are not to be seen in the channel yet.
  of(channel) {
    return this.#entries.filter((entry) => entry.channel === channel && !entry.hasCome);
  }

  add(channel, author, text) {
    const entry = { id: newKey(), channel, author, text, time: Date.now(), state: 'sending' };
    this.#entries.push(entry);
    this.#changed(channel);
    this.#run(channel);
  }

  retry(id) {
    const entry = this.#find(id);
    if (!entry) return;
    entry.state = 'sending';
    this.#changed(entry.channel);
    this.#run(entry.channel);
  }

  discard(id) {
    const entry = this.#find(id);
    if (!entry) return;
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#changed(entry.channel);
    this.#wake.get(entry.channel)?.();
  }

  // These messages have come through the channel, which stands at `last`.
  settle(channel, messages, last) {
    const others = [...messages];
    for (const entry of this.of(channel)) {
      if (entry.state === 'sent') {
        const own = messages.find(({ epoch, sequence }) => epoch === entry.epoch && sequence === entry.sequence);
        if (own && this.#isSignedIn()) this.identity = own.author;
        if (entry.epoch !== last.epoch || entry.sequence <= last.sequence) this.discard(entry.id);
      } else if (entry.state === 'sending') {
        // Most likely. Should it be another one, the answer will tell.
        const index = others.findIndex(
          ({ author, text, data }) =>
            (author === entry.author || this.#isSignedIn()) && text === entry.text && !data,
        );
        if (index >= 0) others.splice(index, 1);
        entry.hasCome = index >= 0;
      }
    }
  }

  // There may be a connection again.
  wake() {
    for (const wake of this.#wake.values()) wake();
    for (const { channel } of this.#entries) this.#run(channel);
  }

  #find(id) {
    return this.#entries.find((entry) => entry.id === id);
  }

  #changed(channel) {
    store.set(this.#entries.filter(({ state }) => state !== 'sent'));
    this.dispatchEvent(new CustomEvent('change', { detail: channel }));
  }

  async #run(channel) {
    if (this.#busy.has(channel)) return;
    this.#busy.add(channel);
    let failures = 0;
    for (;;) {
      const entry = this.#entries.find(
        ({ channel: of, state }) => of === channel && (state === 'sending' || state === 'waiting'),
      );
      if (!entry) break;
      const error = await this.#attempt(entry);
      if (!error) {
        failures = 0;
      } else {
        await this.#pause(
          channel,
          Math.max(error.retryAfterMs, Math.min(FIRST_WAIT_MS * 2 ** failures++, LONGEST_WAIT_MS)),
        );
      }
    }
    this.#busy.delete(channel);
  }

  // Returns why it should be tried again later.
  async #attempt(entry) {
    const set = (changes) => {
      Object.assign(entry, changes);
      if (this.#find(entry.id)) this.#changed(entry.channel);
    };
    if (!navigator.onLine) {
      set({ state: 'waiting' });
      return { retryAfterMs: LONGEST_WAIT_MS };
    }
    set({ state: 'sending' });
    const { id, channel, author, text } = entry;
    try {
      const message = this.#isSignedIn() || !author ? { text } : { author, text };
      const { epoch, sequence } = await sendMessage(channel, message, id);
      this.lastSent = { epoch, sequence };
      set({ state: 'sent', epoch, sequence, hasCome: false });
      return null;
    } catch (error) {
      if (error.isTemporary) {
        set({ state: 'waiting', hasCome: false });
        return error;
      }
      set({ state: 'failed', error: error.message, hasCome: false });
      this.dispatchEvent(new CustomEvent('failed', { detail: error }));
      return null;
    }
  }

  #pause(channel, ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const wake = this.#wake;
      function done() {
        clearTimeout(timer);
        wake.delete(channel);
        resolve();
      }
      wake.set(channel, done);
    });
  }
}
