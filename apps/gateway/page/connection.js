// Whether messages come and go, as one state for people to see.

import { byId } from './dom.js';

// What each part of the page has met last: 'connecting', 'live', 'away' (the
// gateway answers, and its server does not), 'refused' or 'lost'. The worst
// counts.
const ORDER = ['lost', 'away', 'refused', 'connecting', 'live'];

const LABELS = {
  connecting: 'Connecting…',
  live: 'Live',
  offline: 'Offline',
  away: 'Server down',
  lost: 'Reconnecting…',
  refused: 'No access',
};

const BANNERS = {
  offline: 'You’re offline. Messages you write will be sent when you’re back.',
  away: 'The server is down. Messages you write will be sent when it’s back.',
  lost: 'The connection is lost. Messages you write will be sent when it’s back.',
};

export class Connection extends EventTarget {
  #parts = new Map();
  #state = 'connecting';
  #clock = 0;

  constructor() {
    super();
    for (const type of ['online', 'offline']) addEventListener(type, () => this.#update());
    byId('banner-retry').addEventListener('click', () => this.dispatchEvent(new Event('retry')));
    this.#update();
  }

  // `retryAt`: when it will be tried again.
  report(part, state, retryAt = 0) {
    this.#parts.set(part, { state, retryAt });
    this.#update();
  }

  #update() {
    const parts = [...this.#parts.values()];
    const before = this.#state;
    this.#state = navigator.onLine
      ? (ORDER.find((state) => parts.some((part) => part.state === state)) ?? 'connecting')
      : 'offline';
    if (this.#state !== before) this.#show();
    this.#showTime();
    if (this.#state === 'live' && before !== 'live') this.dispatchEvent(new Event('live'));
  }

  #show() {
    const pill = byId('connection');
    pill.dataset.state = this.#state;
    pill.textContent = LABELS[this.#state];
    const text = BANNERS[this.#state];
    byId('banner').hidden = !text;
    byId('banner').dataset.state = this.#state;
    byId('banner-text').textContent = text ?? '';
    byId('banner-retry').hidden = this.#state === 'offline';
  }

  // Not read out: it changes each second.
  #showTime() {
    clearTimeout(this.#clock);
    const at = Math.max(
      ...[...this.#parts.values()].filter(({ state }) => state === this.#state).map(({ retryAt }) => retryAt),
    );
    const seconds = Math.ceil((at - Date.now()) / 1000);
    const isWaiting = seconds > 0 && ['away', 'lost'].includes(this.#state);
    byId('banner-time').textContent = isWaiting ? `Next try in ${seconds} s.` : '';
    if (isWaiting) this.#clock = setTimeout(() => this.#showTime(), 1000);
  }
}
