// What was written here and has not been seen in the channel yet.
//
// Each message arrives once, whatever happens to the answers. It carries an id,
// as an attribute. When an attempt ends without a clear answer, the message may
// have been stored or not; before the next attempt, the outbox reads the channel
// from where it stood before the first one, and looks for the id. Should an
// attempt be stored after all behind the next one, readers know the second one
// by the id, and leave it out (timeline.js).

import { readPage, sendMessage } from './api.js';
import { outbox as store } from './store.js';
import { ID_ATTRIBUTE } from './timeline.js';

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

// crypto.randomUUID is there on https and localhost only.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// Its events: 'change' of the channel `detail`; 'failed', with the reason.
export class Outbox extends EventTarget {
  // In order. `state`: 'sending'; 'waiting', until there is a connection;
  // 'sent'; 'failed', with `error`. `after`: where the channel stood before the
  // first attempt. `isInDoubt`: an attempt may have been stored.
  #entries = store.get().map((entry) => (entry.state === 'sending' ? { ...entry, state: 'waiting' } : entry));
  // Channels of which a message is on its way: one at a time keeps the order.
  #busy = new Set();
  #wake = new Map();
  lastSentId = null;

  of(channel) {
    return this.#entries.filter((entry) => entry.channel === channel);
  }

  // `after`: where the channel stands, if that is known.
  add(channel, author, text, after) {
    const entry = { id: newId(), channel, author, text, after, time: Date.now(), state: 'sending' };
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
    const come = new Set(messages.map(({ id }) => id));
    for (const entry of this.of(channel)) {
      const isBehind = entry.state === 'sent' && (entry.epoch !== last.epoch || entry.sequence <= last.sequence);
      if (!isBehind && !come.has(entry.id)) continue;
      this.lastSentId = entry.id;
      this.discard(entry.id);
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
    try {
      entry.after ??= (await readPage(entry.channel, { last: 0 })).next;
      const place = (entry.isInDoubt && (await this.#findStored(entry))) || (await this.#post(entry, set));
      this.lastSentId = entry.id;
      set({ state: 'sent', isInDoubt: false, epoch: place.epoch, sequence: place.sequence });
      return null;
    } catch (error) {
      if (error.isTemporary) {
        set({ state: 'waiting' });
        return error;
      }
      set({ state: 'failed', error: error.message });
      this.dispatchEvent(new CustomEvent('failed', { detail: error.message }));
      return null;
    }
  }

  async #post({ channel, author, text, id }, set) {
    // Before the answer: the page may be closed until then.
    set({ isInDoubt: true });
    try {
      return await sendMessage(channel, {
        author,
        text,
        attributes: [{ name: ID_ATTRIBUTE, value: id }],
      });
    } catch (error) {
      set({ isInDoubt: error.mayBeStored });
      throw error;
    }
  }

  async #findStored({ channel, after, id }) {
    const isIt = ({ attributes }) => attributes.some(({ name, value }) => name === ID_ATTRIBUTE && value === id);
    for (;;) {
      const page = await readPage(channel, { after, limit: 1000 });
      const found = page.messages.find(isIt);
      if (found || page.caught_up) return found;
      after = page.next;
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
