// One message as the log shows it.

import { dataUrl } from './api.js';
import { button, element, icon } from './dom.js';
import {
  avatar,
  clock,
  dayLabel,
  describeData,
  fullTime,
  hue,
  isOnlyEmoji,
  isSameDay,
  linkified,
} from './text.js';

// An author's next message within this time stands below the one before.
const GROUP_MS = 5 * 60_000;
// Of what is longer, the beginning is shown.
const LONG_TEXT = 3_000;
const LONG_LINES = 30;
const CUT_TEXT = 1_500;
const CUT_LINES = 15;

function beginning(text) {
  const lines = text.split('\n', LONG_LINES + 1);
  if (text.length <= LONG_TEXT && lines.length <= LONG_LINES) return null;
  // Not within a surrogate pair.
  return lines
    .slice(0, CUT_LINES)
    .join('\n')
    .slice(0, CUT_TEXT)
    .replace(/[\ud800-\udbff]$/u, '');
}

function body(text) {
  const node = element('div', { class: isOnlyEmoji(text) ? 'text emoji' : 'text', dir: 'auto' });
  const cut = beginning(text);
  node.append(...linkified(cut ?? text));
  if (cut === null) return [node];
  const more = button(
    'Show more',
    () => {
      node.replaceChildren(...linkified(text));
      more.remove();
    },
    { class: 'link-button' },
  );
  node.append('…');
  return [node, more];
}

// Shown as an image; everything else is saved, not shown.
const IMAGES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

// That it is one, only the message says.
function imageOf(url) {
  const image = element('img', { src: url, alt: '', loading: 'lazy' });
  image.addEventListener('error', () => image.remove());
  return image;
}

function dataOf(message) {
  const { channel, data, sequence } = message;
  const url = dataUrl(channel, message);
  return element(
    'a',
    { class: 'data', href: url, download: `${channel}-${sequence}` },
    IMAGES.includes(data.type) && data.size > 0 ? imageOf(url) : null,
    element('bdi', {}, describeData(data)),
  );
}

function content(message) {
  if (!message.data) return body(message.text);
  return [...(message.text ? body(message.text) : []), dataOf(message)];
}

function timeOf(message, className) {
  return element(
    'time',
    {
      class: className,
      datetime: new Date(message.time).toISOString(),
      title: fullTime(message.time),
    },
    clock(message.time),
  );
}

function head(message) {
  const author = element('bdi', { class: 'author' }, message.author || 'anonymous');
  author.style.setProperty('--hue', hue(message.author));
  return element('header', {}, author, timeOf(message, 'time'));
}

const isGrouped = (message, previous) =>
  previous &&
  previous.author === message.author &&
  message.time - previous.time < GROUP_MS &&
  isSameDay(previous.time, message.time);

// The message; `footer` is below its text and data.
function messageArticle(message, previous, isNew, ...footer) {
  const grouped = isGrouped(message, previous) && !isNew;
  const article = element('article', {
    class: grouped ? 'message grouped' : 'message',
    tabindex: -1,
  });
  if (grouped) {
    // For those who do not see what it stands below.
    article.append(
      element('span', { class: 'visually-hidden' }, message.author || 'anonymous'),
      timeOf(message, 'gutter'),
    );
  } else {
    article.append(avatar(message.author), head(message));
  }
  article.append(...content(message), ...footer);
  return article;
}

function sentMark() {
  return element('span', { class: 'state sent' }, icon('check'), 'Sent');
}

function separator(className, label) {
  return element(
    'div',
    { class: className, role: 'separator', 'aria-label': label },
    element('span', { 'aria-hidden': 'true' }, label),
  );
}

// A row of the log: the message, and what separates it from the one before.
// `isNew`: it is the first unread one.
export function messageRow(message, previous, { isNew, isLastSent }) {
  const row = element('div', { class: 'row' });
  if (!previous || !isSameDay(previous.time, message.time)) {
    row.append(separator('day', dayLabel(message.time)));
  }
  if (isNew) row.append(separator('unread', 'New'));
  row.append(messageArticle(message, previous, isNew, ...(isLastSent ? [sentMark()] : [])));
  return row;
}

const STATES = { sending: 'Sending…', waiting: 'Waiting for connection' };

// One that is on its way: see outbox.js.
export function pendingRow(entry, previous, { onRetry, onDiscard }) {
  const state = element('div', { class: `state ${entry.state}` });
  if (entry.state === 'sent') {
    state.append(icon('check'), 'Sent');
  } else if (entry.state === 'failed') {
    state.append(
      element('span', {}, 'Not sent: ', element('bdi', {}, entry.error)),
      button('Retry', onRetry, { class: 'link-button' }),
      button('Discard', onDiscard, { class: 'link-button' }),
    );
  } else {
    state.append(STATES[entry.state]);
    if (entry.state === 'waiting') state.append(button('Discard', onDiscard, { class: 'link-button' }));
  }
  const article = messageArticle(entry, previous, false, state);
  article.classList.add('pending', entry.state);
  return element('div', { class: 'row' }, article);
}
