// Shows a timeline. Of the messages that are loaded, however many, a window of
// some hundred is in the document: it moves as one scrolls, and what is seen
// stays where it is.

import { byId, element } from './dom.js';
import { messageRow, pendingRow } from './message_row.js';
import { count } from './text.js';

const MOST_ROWS = 240;
const STEP = 60;
// So near to the end that what comes is followed.
const END_PX = 48;

export class LogView {
  #log = byId('log');
  #top = byId('log-top');
  #rows = byId('rows');
  #pendingRows = byId('pending');
  #jump = byId('jump');
  #on;
  #timeline = null;
  // The rows are of messages [begin, end).
  #begin = 0;
  #end = 0;
  #pending = [];
  // Whether new messages are followed.
  #follows = true;
  #missed = 0;
  #isLoading = false;
  // Messages behind this one are new; a line says so.
  #unreadAfter = null;
  #current = null;
  #lastSent = null;

  // `on.older()` loads older messages and resolves to how many there were, or to
  // null if they cannot be had now;
  // `on.end()`: the newest are seen; `on.render()`: other rows are shown;
  // `on.retry(id)`, `on.discard(id)`: of a message that is on its way.
  constructor(on) {
    this.#on = on;
    this.#log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#log.addEventListener('keydown', (event) => this.#key(event));
    this.#jump.addEventListener('click', () => {
      this.toEnd();
      this.#log.focus();
    });
    // The window, or the message field, has become larger or smaller.
    new ResizeObserver(() => this.#follows && this.#scrollToEnd()).observe(this.#log);
  }

  get isAtEnd() {
    return this.#follows;
  }

  // Instead of messages: that they are being loaded, or why there are none.
  showInstead(...nodes) {
    this.#timeline = null;
    this.#follows = true;
    this.#rows.replaceChildren();
    this.#pendingRows.hidden = false;
    this.#pending = [];
    this.#showPending();
    this.#top.replaceChildren(...nodes);
    this.#jump.hidden = true;
  }

  show(timeline, unreadAfter) {
    this.#timeline = timeline;
    this.#unreadAfter = unreadAfter;
    this.#current = null;
    this.toEnd();
  }

  // Messages have been added at the end.
  added(messages) {
    this.#showPending();
    if (this.#follows) {
      if (this.#timeline.trim() > 0) return this.toEnd();
      if (messages.length >= STEP) return this.toEnd();
      this.#extend(this.#end, this.#end + messages.length);
      this.#dropRows(Math.max(0, this.#end - this.#begin - MOST_ROWS), 0);
      this.#scrollToEnd();
      this.#on.end();
    } else {
      this.#missed += messages.length;
      this.#scrolled();
    }
    this.#showTop();
    this.#on.render();
  }

  setPending(entries) {
    this.#pending = entries;
    this.#showPending();
    if (this.#follows) this.#scrollToEnd();
    if (this.#timeline) this.#showTop();
  }

  // From the next message on, they are new.
  markUnread(sequence) {
    this.#unreadAfter = sequence;
    for (const line of this.#rows.querySelectorAll('.unread')) line.remove();
  }

  // Of what was sent here, the last message has a mark.
  set lastSent(place) {
    if (place === this.#lastSent) return;
    this.#lastSent = place;
    for (const mark of this.#rows.querySelectorAll('.state')) mark.remove();
    const index = this.#timeline?.messages.findLastIndex((message) => this.#isLastSent(message)) ?? -1;
    if (index >= this.#begin && index < this.#end) this.#rowOf(index).replaceWith(this.#row(index));
  }

  // Older messages may be had again.
  resume() {
    this.#scrolled();
  }

  toEnd() {
    if (!this.#timeline) return;
    this.#missed = 0;
    this.#follows = true;
    this.#showFrom(Math.max(0, this.#timeline.messages.length - MOST_ROWS / 2));
    this.#scrollToEnd();
    this.#on.end();
  }

  // Shows the message in the middle, marked.
  reveal(message) {
    const index = this.#timeline.messages.indexOf(message);
    if (index < 0) return;
    this.#current = message;
    if (index < this.#begin || index >= this.#end) {
      this.#showFrom(Math.max(0, index - MOST_ROWS / 2));
    }
    this.#follows = false;
    this.#markCurrent();
    this.#rowOf(index).scrollIntoView({ block: 'center' });
    this.#scrolled();
  }

  unmark() {
    this.#current = null;
    this.#markCurrent();
  }

  scrollPages(pages) {
    this.#log.scrollBy({ top: pages * this.#log.clientHeight * 0.9 });
  }

  // The texts that are shown, for the search to mark what it has found.
  *shownTexts() {
    yield* this.#rows.querySelectorAll('.text, .author');
  }

  // The arrows go from message to message.
  #key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const articles = [...this.#log.querySelectorAll('article')];
    const at = articles.indexOf(document.activeElement.closest('article'));
    // From the log itself, to the last one that is seen.
    const { bottom } = this.#log.getBoundingClientRect();
    const to =
      at >= 0 ? articles[at + step] : articles.findLast((article) => article.getBoundingClientRect().bottom <= bottom);
    if (!to) return;
    event.preventDefault();
    to.focus({ preventScroll: true });
    to.scrollIntoView({ block: 'nearest' });
  }

  #rowOf(index) {
    return this.#rows.children[index - this.#begin];
  }

  #markCurrent() {
    this.#rows.querySelector('.current')?.classList.remove('current');
    if (!this.#current) return;
    const index = this.#timeline.messages.indexOf(this.#current);
    if (index >= this.#begin && index < this.#end) this.#rowOf(index).classList.add('current');
  }

  #isLastSent({ epoch, sequence }) {
    return sequence === this.#lastSent?.sequence && epoch === this.#lastSent.epoch;
  }

  #row(index) {
    const { messages } = this.#timeline;
    const message = messages[index];
    const previous = messages[index - 1];
    const after = this.#unreadAfter;
    return messageRow(message, previous, {
      isNew: after !== null && message.sequence > after && (!previous || previous.sequence <= after),
      isLastSent: this.#isLastSent(message),
    });
  }

  #newRows(begin, end) {
    return Array.from({ length: end - begin }, (_, i) => this.#row(begin + i));
  }

  #showPending() {
    const hasFocus = this.#pendingRows.contains(document.activeElement);
    let previous = this.#timeline?.messages.at(-1);
    this.#pendingRows.replaceChildren(
      ...this.#pending.map((entry) => {
        const row = pendingRow(entry, previous, {
          onRetry: () => this.#on.retry(entry.id),
          onDiscard: () => this.#on.discard(entry.id),
        });
        previous = entry;
        return row;
      }),
    );
    if (hasFocus) (this.#pendingRows.querySelector('button') ?? this.#log).focus();
  }

  #showFrom(begin) {
    this.#begin = begin;
    this.#end = Math.min(begin + MOST_ROWS, this.#timeline.messages.length);
    this.#rows.replaceChildren(...this.#newRows(this.#begin, this.#end));
    this.#showPending();
    this.#pendingRows.hidden = this.#end < this.#timeline.messages.length;
    this.#markCurrent();
    this.#showTop();
    this.#showJump();
    this.#on.render();
  }

  // Adds the rows [begin, end), which are next to those that are shown.
  #extend(begin, end) {
    const rows = this.#newRows(begin, end);
    if (begin >= this.#end) {
      this.#rows.append(...rows);
      this.#end = end;
    } else {
      this.#rows.prepend(...rows);
      this.#begin = begin;
    }
    this.#pendingRows.hidden = this.#end < this.#timeline.messages.length;
  }

  #dropRows(above, below) {
    for (let i = 0; i < above; i++) this.#rows.firstElementChild.remove();
    for (let i = 0; i < below; i++) this.#rows.lastElementChild.remove();
    this.#begin += above;
    this.#end -= below;
    this.#pendingRows.hidden = this.#end < this.#timeline.messages.length;
  }

  // What is seen stays where it is, whatever `change` does above it.
  #anchored(change) {
    const top = this.#log.getBoundingClientRect().top;
    const anchor = Array.from(this.#rows.children).find((row) => row.getBoundingClientRect().bottom > top);
    const before = anchor?.getBoundingClientRect().top;
    change();
    if (anchor?.isConnected) this.#log.scrollTop += anchor.getBoundingClientRect().top - before;
  }

  #scrolled() {
    if (!this.#timeline) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    const below = scrollHeight - scrollTop - clientHeight;
    const isLast = this.#end === this.#timeline.messages.length;
    const follows = isLast && below <= END_PX;
    if (follows && !this.#follows) {
      this.#missed = 0;
      this.#on.end();
    }
    this.#follows = follows;
    if (scrollTop < 2 * clientHeight) this.#slideUp();
    else if (below < 2 * clientHeight) this.#slideDown();
    this.#showJump();
  }

  #slideUp() {
    if (this.#begin === 0) return this.#loadOlder();
    this.#anchored(() => {
      this.#extend(Math.max(0, this.#begin - STEP), this.#begin);
      this.#dropRows(0, Math.max(0, this.#end - this.#begin - MOST_ROWS));
      this.#showTop();
    });
    this.#on.render();
  }

  #slideDown() {
    const { length } = this.#timeline.messages;
    if (this.#end === length) return;
    this.#anchored(() => {
      this.#extend(this.#end, Math.min(length, this.#end + STEP));
      this.#dropRows(Math.max(0, this.#end - this.#begin - MOST_ROWS), 0);
      this.#showTop();
    });
    this.#on.render();
  }

  async #loadOlder() {
    const timeline = this.#timeline;
    if (this.#isLoading || timeline.isComplete) return;
    this.#isLoading = true;
    this.#log.setAttribute('aria-busy', 'true');
    const added = await this.#on.older();
    this.#isLoading = false;
    this.#log.removeAttribute('aria-busy');
    if (this.#timeline !== timeline || added === null) return;
    this.#begin += added;
    this.#end += added;
    const fromEnd = this.#log.scrollHeight - this.#log.scrollTop;
    if (added > 0) {
      // Its day and author may be those of the one before it now.
      this.#rows.firstElementChild?.replaceWith(this.#row(this.#begin));
      this.#extend(Math.max(0, this.#begin - STEP), this.#begin);
    }
    this.#showTop();
    this.#log.scrollTop = this.#log.scrollHeight - fromEnd;
    this.#dropRows(0, Math.max(0, this.#end - this.#begin - MOST_ROWS));
    this.#on.render();
    this.#scrolled();
  }

  #showTop() {
    const { messages, isComplete, isCut } = this.#timeline;
    const isStart = this.#begin === 0 && isComplete;
    const state = !isStart ? 'more' : messages.length + this.#pending.length === 0 ? 'empty' : isCut ? 'cut' : 'start';
    if (this.#top.dataset.state === `${state} ${this.#timeline.channel}` && this.#top.hasChildNodes()) return;
    this.#top.dataset.state = `${state} ${this.#timeline.channel}`;
    const channel = element('bdi', {}, `#${this.#timeline.channel}`);
    this.#top.replaceChildren(
      ...{
        more: () => [element('p', { class: 'more' }, 'Loading older messages…')],
        empty: () => [
          element(
            'div',
            { class: 'instead' },
            element('p', { class: 'instead-title' }, channel, ' is empty'),
            element('p', {}, 'Write the first message to create the channel.'),
          ),
        ],
        cut: () => [element('p', { class: 'start' }, 'Older messages of ', channel, ' are no longer stored.')],
        start: () => [element('p', { class: 'start' }, 'This is the beginning of ', channel, '.')],
      }[state](),
    );
  }

  #showJump() {
    const isFar = this.#timeline && !this.#follows;
    this.#jump.hidden = !isFar;
    byId('jump-text').textContent =
      this.#missed > 0 ? count(this.#missed, 'new message', 'new messages') : 'Latest messages';
  }

  #scrollToEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}
