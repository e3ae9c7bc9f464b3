// Whether somebody is signed in, and the dialog to do so. The token is in a
// cookie that scripts cannot read; the server says whose it is, so that nobody
// who is signed in chooses a name.

import { getSession, signIn, signOut } from './api.js';
import { announce, byId } from './dom.js';

const WHERE_FROM = 'Whoever runs this server gives you a token.';
const WHY_ASKED = 'This server asks for a token. Whoever runs it gives you one.';
const WHY_AGAIN = 'Your token is not valid any more. Sign in with another one.';

function textOf(error) {
  if (error.status === 401) return 'This token is not known here, or has expired.';
  if (error.status === 409) return 'This server knows no tokens, so nobody signs in. You can write without one.';
  return error.isTemporary ? 'The server does not answer. Try again.' : `${error.message}.`;
}

// Its event 'change': somebody has signed in or out.
export class Session extends EventTarget {
  isSignedIn = false;
  #dialog = byId('sign-in-dialog');
  #token = byId('token');
  #error = byId('sign-in-error');
  // They do not want to be asked again.
  #isDeclined = false;

  constructor() {
    super();
    byId('sign-in').addEventListener('click', () => this.ask());
    byId('sign-out').addEventListener('click', () => this.#leave());
    byId('sign-in-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#enter();
    });
    this.#dialog.addEventListener('close', () => {
      this.#token.value = '';
      this.#isDeclined = !this.isSignedIn;
    });
  }

  // Asks the gateway, as after a reload.
  async check() {
    try {
      this.isSignedIn = (await getSession()).signed_in;
    } catch {
      // It is not there, or its server is not; the first refusal tells.
    }
  }

  ask(why = WHERE_FROM) {
    if (this.#dialog.open) return;
    for (const other of document.querySelectorAll('dialog[open]')) other.close();
    byId('sign-in-why').textContent = why;
    this.#fail('');
    this.#dialog.showModal();
  }

  // Something was answered with 401 or 403.
  async refused({ status }) {
    if (status !== 401) return;
    if (!this.isSignedIn) {
      if (!this.#isDeclined) this.ask(WHY_ASKED);
      return;
    }
    this.isSignedIn = false;
    this.ask(WHY_AGAIN);
    // Whatever may be done without one, may be done now.
    await signOut().catch(() => {});
    this.#changed();
  }

  async #enter() {
    const button = byId('sign-in-submit');
    button.disabled = true;
    try {
      await signIn(this.#token.value.trim());
      if ((await getSession()).signed_in) {
        this.isSignedIn = true;
        this.#dialog.close();
        this.#changed();
      } else {
        this.#fail('This browser has not kept the cookie. Allow cookies of this page.');
      }
    } catch (error) {
      this.#fail(textOf(error));
      this.#token.select();
    }
    button.disabled = false;
  }

  async #leave() {
    try {
      await signOut();
      this.isSignedIn = false;
      this.#changed();
    } catch (error) {
      // The cookie is still there.
      announce(`Not signed out: ${error.message}`);
    }
  }

  #fail(text) {
    this.#error.textContent = text;
    this.#token.setAttribute('aria-invalid', String(text !== ''));
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
