// The list of channels with what is unread. The API has no stream of them, and a
// browser opens six connections to a server at most: so it is asked for.

import { channelNameError, listChannels } from './api.js';
import { byId, element } from './dom.js';
import { seen, visited } from './store.js';
import { count } from './text.js';

const INTERVAL_MS = 3_000;
const HIDDEN_INTERVAL_MS = 15_000;
const AWAY_INTERVAL_MS = 1_500;
const REFUSED_INTERVAL_MS = 30_000;

const href = (name) => `#/${encodeURIComponent(name)}`;
const badge = (unread) => (unread > 99 ? '99+' : String(unread));

export class ChannelList {
  #list = byId('channels');
  #filter = byId('filter');
  #note = byId('channels-note');
  #connection;
  #on;
  // Name to {epoch, first_sequence, head}; null before the first answer.
  #channels = null;
  #open = null;
  #timer = 0;
  #isAsking = false;
  // Something has changed while it was asked for.
  #mustAskAgain = false;

  // `on.unread(total)`; `on.update(channels)`: the server has told;
  // `on.refused(error)`: it does not tell who asks.
  constructor(connection, on) {
    this.#connection = connection;
    this.#on = on;
    this.#filter.addEventListener('input', () => this.#show());
    this.#filter.addEventListener('keydown', (event) => this.#filterKey(event));
    this.#list.addEventListener('keydown', (event) => this.#listKey(event));
    document.addEventListener('visibilitychange', () => !document.hidden && this.ask());
    addEventListener('storage', () => this.#show());
    this.ask();
  }

  get first() {
    return this.#channels?.keys().next().value;
  }

  set open(name) {
    this.#open = name;
    this.#show();
    this.#list.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
  }

  // What has been read is no longer unread.
  refresh() {
    this.#show();
  }

  find() {
    this.#filter.focus();
    this.#filter.select();
  }

  clearFilter() {
    this.#filter.value = '';
    this.#show();
  }

  async ask() {
    clearTimeout(this.#timer);
    this.#mustAskAgain = this.#isAsking;
    if (this.#isAsking) return;
    this.#isAsking = true;
    let wait = document.hidden ? HIDDEN_INTERVAL_MS : INTERVAL_MS;
    let state = 'live';
    try {
      // What is offline would only fill the console.
      if (navigator.onLine) this.#take(await listChannels());
    } catch (error) {
      if (error.isRefused) {
        state = 'refused';
        wait = REFUSED_INTERVAL_MS;
        this.#channels = new Map();
        this.#show();
        this.#on.refused(error);
      } else {
        state = error.isLost ? 'lost' : 'away';
        wait = Math.max(error.retryAfterMs ?? 0, AWAY_INTERVAL_MS);
      }
    }
    this.#isAsking = false;
    if (this.#mustAskAgain) wait = 0;
    this.#timer = setTimeout(() => this.ask(), wait);
    this.#connection.report('list', state, Date.now() + wait);
  }

  #take(channels) {
    this.#channels = new Map(channels.map((channel) => [channel.channel, channel]));
    // On the first visit, what has been written before is not news.
    if (!visited.get()) {
      visited.set();
      seen.advance(
        Object.fromEntries(channels.map(({ channel, epoch, head }) => [channel, { epoch, sequence: head }])),
      );
    }
    this.#on.update(this.#channels);
    this.#show();
  }

  #unread({ channel, epoch, head, first_sequence: first }) {
    const mark = seen.get(channel);
    const read = mark?.epoch === epoch ? mark.sequence : 0;
    return Math.max(0, head - Math.max(read, first - 1));
  }

  #show() {
    if (!this.#channels) return;
    const channels = [...this.#channels.values()].map((channel) => ({
      name: channel.channel,
      unread: this.#unread(channel),
    }));
    this.#on.unread(channels.reduce((sum, { unread }) => sum + unread, 0));
    if (this.#open && !this.#channels.has(this.#open) && !channelNameError(this.#open)) {
      channels.push({ name: this.#open, unread: 0 });
      channels.sort((a, b) => (a.name < b.name ? -1 : 1));
    }
    const wanted = this.#filter.value.trim();
    // Those that begin with it come first, the shortest before the others.
    const place = ({ name }) => name.toLowerCase().indexOf(wanted.toLowerCase());
    const shown = channels.filter((channel) => place(channel) >= 0);
    if (wanted) shown.sort((a, b) => place(a) - place(b) || a.name.length - b.name.length);
    const items = shown.map(({ name, unread }) => this.#item(name, unread));
    const canBegin = wanted !== '' && !channelNameError(wanted) && !channels.some(({ name }) => name === wanted);
    if (canBegin) items.push(this.#newItem(wanted));
    this.#replace(items);
    this.#note.hidden = items.length > 0;
    this.#note.textContent = wanted ? 'No matching channels' : 'No channels yet';
  }

  // Without a change it stays as it is; the focus stays in any case.
  #replace(items) {
    const old = [...this.#list.children];
    if (old.length === items.length && old.every((item, i) => item.isEqualNode(items[i]))) return;
    const focused = document.activeElement?.closest('#channels a')?.getAttribute('href');
    this.#list.replaceChildren(...items);
    const links = this.#links();
    const current = links.find((link) => link.getAttribute('href') === focused);
    current?.focus();
  }

  #item(name, unread) {
    const isOpen = name === this.#open;
    const link = element(
      'a',
      {
        href: href(name),
        title: name.length > 20 && name,
        'aria-current': isOpen && 'page',
        class: unread > 0 ? 'channel has-unread' : 'channel',
      },
      element('span', { class: 'hash', 'aria-hidden': 'true' }, '#'),
      element('bdi', { class: 'name' }, name),
    );
    if (unread > 0) {
      link.append(
        element('span', { class: 'badge', 'aria-hidden': 'true' }, badge(unread)),
        element('span', { class: 'visually-hidden' }, `, ${count(unread, 'unread message', 'unread messages')}`),
      );
    }
    return element('li', {}, link);
  }

  #newItem(name) {
    return element(
      'li',
      {},
      element(
        'a',
        { href: href(name), class: 'channel new' },
        element('span', { class: 'hash', 'aria-hidden': 'true' }, '+'),
        element('span', { class: 'name' }, 'Create ', element('bdi', {}, `#${name}`)),
      ),
    );
  }

  #links() {
    return [...this.#list.querySelectorAll('a')];
  }

  #filterKey(event) {
    if (event.key === 'ArrowDown') {
      this.#links()[0]?.focus();
    } else if (event.key === 'Enter') {
      this.#links()[0]?.click();
    } else if (event.key === 'Escape' && this.#filter.value !== '') {
      this.clearFilter();
      event.stopPropagation();
    } else {
      return;
    }
    event.preventDefault();
  }

  #listKey(event) {
    const links = this.#links();
    const at = links.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) this.#filter.focus();
    else links[Math.min(to, links.length - 1)]?.focus();
  }
}
