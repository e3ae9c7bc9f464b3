// How names, times and texts are shown.

import { element } from './dom.js';

// What cannot be in a URL, or stands behind one in a sentence.
const LINK = /https?:\/\/[^\s<>"\u201c\u201d\u00ab\u00bb]+/giu;
const TAIL = /[.,:;!?'\u2019\u2026*_~]+$/u;

// A parenthesis belongs to the link if it was opened there: Wikipedia's do.
function trimLink(text) {
  for (;;) {
    let end = text.replace(TAIL, '');
    for (const [open, close] of ['()', '[]', '{}']) {
      if (end.endsWith(close) && end.split(close).length > end.split(open).length) end = end.slice(0, -1);
    }
    if (end === text) return text;
    text = end;
  }
}

// Nodes of a text, with its links.
export function linkified(text) {
  const nodes = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(LINK)) {
    const link = trimLink(match);
    if (!URL.canParse(link)) continue;
    nodes.push(
      text.slice(done, index),
      element(
        'a',
        {
          href: link,
          target: '_blank',
          rel: 'noopener noreferrer',
          dir: 'ltr',
        },
        link,
      ),
    );
    done = index + link.length;
  }
  nodes.push(text.slice(done));
  return nodes.filter((node) => node !== '');
}

const graphemes = (text) => Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);

// "Ada Lovelace": AL.
function initials(author) {
  const words = author.trim().split(/\s+/u).filter(Boolean);
  if (words.length === 0) return '?';
  const ends = words.length === 1 ? words : [words[0], words.at(-1)];
  return ends
    .map((word) => graphemes(word)[0])
    .join('')
    .toLocaleUpperCase();
}

// One of twelve colours, the same for a name everywhere.
export function hue(author) {
  let hash = 0x811c9dc5;
  for (const char of author) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return ((hash >>> 0) % 12) * 30;
}

export function avatar(author) {
  const node = element('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(author));
  node.style.setProperty('--hue', hue(author));
  return node;
}

// One to three emoji and nothing else.
export function isOnlyEmoji(text) {
  if (text.length > 40 || !/^[\p{Extended_Pictographic}\p{Emoji_Component}\s]+$/u.test(text)) return false;
  if (!/\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(text)) return false;
  return graphemes(text.replace(/\s/gu, '')).length <= 3;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', month: 'long', day: 'numeric' });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: 'full' });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

export const clock = (time) => CLOCK.format(time);
export const fullTime = (time) => FULL.format(time);

const startOfDay = (time) => new Date(time).setHours(0, 0, 0, 0);
export const isSameDay = (a, b) => startOfDay(a) === startOfDay(b);

export function dayLabel(time, now = Date.now()) {
  // Days with 23 or 25 hours are days, too.
  const days = Math.round((startOfDay(time) - startOfDay(now)) / 86_400_000);
  if (days === 0 || days === -1) {
    const label = RELATIVE.format(days, 'day');
    return label[0].toLocaleUpperCase() + label.slice(1);
  }
  const isThisYear = new Date(time).getFullYear() === new Date(now).getFullYear();
  return (isThisYear ? DAY : DAY_OF_YEAR).format(time);
}

const COUNT = new Intl.NumberFormat();
export const count = (number, one, many) => `${COUNT.format(number)} ${number === 1 ? one : many}`;

// "12 bytes of image/png", of the data of a message.
export const describeData = ({ size, type }) => count(size, 'byte', 'bytes') + (type && ` of ${type}`);
