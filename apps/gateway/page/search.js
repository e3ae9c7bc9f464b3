// Searches the messages that are loaded. The browser's own search sees only
// those that are in the document.

import { byId } from './dom.js';
import { count } from './text.js';

const escape = (text) => text.replace(/[\\^$.*+?()[\]{}|/-]/gu, '\\$&');

export class Search {
  #box = byId('search');
  #field = byId('search-text');
  #view;
  #messages;
  #pattern = null;
  #found = [];
  // Of what was found, from the newest on.
  #at = 0;
  #returnTo = null;

  // `messages()`: those that are loaded.
  constructor(view, messages) {
    this.#view = view;
    this.#messages = messages;
    this.#field.addEventListener('input', () => this.#search());
    this.#field.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.isComposing) return;
      event.preventDefault();
      this.#go(event.shiftKey ? -1 : 1);
    });
    byId('open-search').addEventListener('click', () => (this.isOpen ? this.close() : this.open()));
    byId('search-previous').addEventListener('click', () => this.#go(1));
    byId('search-next').addEventListener('click', () => this.#go(-1));
    byId('search-close').addEventListener('click', () => this.close());
  }

  get isOpen() {
    return !this.#box.hidden;
  }

  open() {
    if (!this.isOpen) this.#returnTo = document.activeElement;
    this.#box.hidden = false;
    this.#field.focus();
    this.#field.select();
    this.#search();
  }

  close() {
    if (!this.isOpen) return;
    this.#box.hidden = true;
    this.#pattern = null;
    this.#found = [];
    this.#view.unmark();
    this.highlight();
    this.#returnTo?.focus();
  }

  // More messages are there; the match that is shown stays.
  update() {
    if (!this.#pattern) return;
    const current = this.#found[this.#at];
    this.#collect();
    this.#at = Math.max(0, this.#found.indexOf(current));
    this.#showCount();
  }

  // Marks what was found in the rows that are shown.
  highlight() {
    if (!globalThis.CSS?.highlights) return;
    CSS.highlights.delete('found');
    if (this.#pattern) CSS.highlights.set('found', new Highlight(...this.#ranges()));
  }

  *#ranges() {
    for (const node of this.#view.shownTexts()) {
      const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        for (const { 0: match, index } of walker.currentNode.data.matchAll(this.#pattern)) {
          const range = new Range();
          range.setStart(walker.currentNode, index);
          range.setEnd(walker.currentNode, index + match.length);
          yield range;
        }
      }
    }
  }

  #search() {
    const text = this.#field.value.trim();
    this.#pattern = text ? new RegExp(escape(text), 'giu') : null;
    this.#collect();
    this.#at = 0;
    this.#showCurrent();
  }

  #collect() {
    const has = (text) => text.search(this.#pattern) >= 0;
    this.#found = this.#pattern
      ? this.#messages()
          .filter(({ text, author }) => has(text) || has(author))
          .reverse()
      : [];
  }

  #go(step) {
    if (this.#found.length === 0) return;
    this.#at = (this.#at + step + this.#found.length) % this.#found.length;
    this.#showCurrent();
  }

  #showCurrent() {
    if (this.#found.length > 0) this.#view.reveal(this.#found[this.#at]);
    else this.#view.unmark();
    this.highlight();
    this.#showCount();
  }

  #showCount() {
    const { length } = this.#found;
    byId('search-count').value = !this.#pattern
      ? ''
      : length === 0
        ? `No match in ${count(this.#messages().length, 'message', 'messages')}`
        : `${this.#at + 1} of ${length}`;
  }
}
