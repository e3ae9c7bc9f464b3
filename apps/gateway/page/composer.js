// The field to write in. What is not sent stays, for each channel.

import { byId } from './dom.js';
import { draft } from './store.js';

export class Composer {
  #text = byId('text');
  #send = byId('send');
  #channel = '';
  #on;

  // `on.send(text)`, false if it cannot be sent now; `on.page(direction)`.
  constructor(on) {
    this.#on = on;
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', () => {
      draft.set(this.#channel, this.#text.value);
      this.#fit();
    });
    this.#text.addEventListener('keydown', (event) => this.#key(event));
  }

  open(channel) {
    this.#channel = channel;
    this.#text.placeholder = `Message #${channel}`;
    this.#text.setAttribute('aria-label', `Message #${channel}`);
    this.#text.value = draft.get(channel);
    this.#fit();
  }

  set isEnabled(value) {
    this.#text.disabled = !value;
    this.#fit();
  }

  focus() {
    this.#text.focus();
  }

  #key(event) {
    // While an input method composes, Enter chooses a word.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#submit();
    } else if (this.#text.value === '' && (event.key === 'PageUp' || event.key === 'PageDown')) {
      event.preventDefault();
      this.#on.page(event.key === 'PageUp' ? -1 : 1);
    }
  }

  #submit() {
    const text = this.#text.value.trim();
    if (text === '' || this.#text.disabled || !this.#on.send(text)) return;
    this.#text.value = '';
    draft.set(this.#channel, '');
    this.#fit();
  }

  // As high as its text; style.css says how high at most.
  #fit() {
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    this.#send.disabled = this.#text.disabled || this.#text.value.trim() === '';
  }
}
