// The messages of one channel that have been loaded: all from the first one to
// the newest.

import { readPage } from './api.js';

const PAGE = 100;
// A tab that stays open for days forgets the oldest.
const MOST = 20_000;

// How many bytes there are, of which type: they are fetched when they are shown.
// A type without data is that of the text, unless there is none, either.
function dataOf({ text, data = '', content_type: type = '' }) {
  if (!data && (text || !type)) return null;
  const padding = /=*$/u.exec(data)[0].length;
  return { size: (data.length / 4) * 3 - padding, type };
}

function toMessage(json) {
  return {
    channel: json.channel,
    sequence: json.sequence,
    epoch: json.epoch,
    // Not all browsers read nanoseconds.
    time: Date.parse(`${json.send_time.slice(0, 23)}Z`),
    author: json.author,
    text: json.text,
    data: dataOf(json),
  };
}

export class Timeline {
  messages = [];
  // EPOCH:SEQUENCE of the newest: where a stream goes on.
  position = '';
  // Whether the first message is the oldest that is stored.
  isComplete = false;
  // Whether older ones were stored once.
  isCut = false;

  #channel;
  #first = 1;

  constructor(channel) {
    this.#channel = channel;
  }

  get channel() {
    return this.#channel;
  }

  get last() {
    const [epoch, sequence] = this.position.split(':');
    return { epoch, sequence: Number(sequence) };
  }

  async loadLatest() {
    const page = await readPage(this.#channel, { last: PAGE, limit: PAGE });
    let { messages } = page;
    let { next } = page;
    // A page of large messages ends early.
    for (let more = page; !more.caught_up && more.messages.length > 0; next = more.next) {
      more = await readPage(this.#channel, { after: more.next });
      messages = messages.concat(more.messages);
    }
    this.messages = messages.map(toMessage);
    this.position = next;
    this.#first = messages[0]?.sequence ?? this.last.sequence + 1;
    this.isComplete = messages.length < PAGE;
    this.isCut = this.isComplete && this.#first > 1;
  }

  // The messages that were loaded before the first one; none at the beginning.
  async loadOlder() {
    if (this.isComplete) return [];
    const first = this.#first;
    let page = await readPage(this.#channel, { from: Math.max(1, first - PAGE), limit: PAGE });
    let older = page.messages;
    const isFar = () => page.messages.length > 0 && older.at(-1).sequence < first - 1;
    while (isFar()) {
      page = await readPage(this.#channel, { after: page.next, limit: PAGE });
      older = older.concat(page.messages);
    }
    older = older.filter(({ sequence }) => sequence < first);
    if (first !== this.#first) return [];
    this.#first = older[0]?.sequence ?? first;
    this.isComplete = older.length === 0 || this.#first === 1;
    this.isCut = this.isComplete && this.#first > 1;
    const messages = older.map(toMessage);
    this.messages.unshift(...messages);
    return messages;
  }

  // Messages of the stream; returns those that were not there yet.
  append(list) {
    const { epoch, sequence } = this.last;
    const fresh = list.filter((json) => json.epoch !== epoch || json.sequence > sequence);
    if (fresh.length === 0) return [];
    const newest = fresh.at(-1);
    this.position = `${newest.epoch}:${newest.sequence}`;
    const messages = fresh.map(toMessage);
    this.messages.push(...messages);
    return messages;
  }

  // Forgets the oldest; returns how many. For when nobody looks at them.
  trim() {
    const count = this.messages.length - MOST;
    // In large steps: it is a copy of all that stay.
    if (count < MOST / 10) return 0;
    this.messages.splice(0, count);
    this.#first = this.messages[0].sequence;
    this.isComplete = false;
    this.isCut = false;
    return count;
  }
}
