// The chat page of messenger-gateway. This file connects the parts:
//
//   api.js           the gateway's API
//   channel_list.js  the channels, and what is unread in them
//   timeline.js      the messages of the open channel that are loaded
//   stream.js        those that come
//   outbox.js        those that go
//   log_view.js      shows them; message_row.js is one of them
//   session.js       who is signed in
//   composer.js, search.js, connection.js: as their names say
//
// The address has the open channel: #/general.

import { channelNameError } from './api.js';
import { ChannelList } from './channel_list.js';
import { Composer } from './composer.js';
import { Connection } from './connection.js';
import { announce, button, byId, element } from './dom.js';
import { LogView } from './log_view.js';
import { Outbox } from './outbox.js';
import { Search } from './search.js';
import { Session } from './session.js';
import { lastChannel, name, seen } from './store.js';
import { Stream } from './stream.js';
import { avatar, count, describeData } from './text.js';
import { Timeline } from './timeline.js';

const DEFAULT_CHANNEL = 'general';
const MOST_ANNOUNCED = 3;
const LOAD_AGAIN_MS = 2_000;
// Tabs in the background give their connection back: a browser has six for all.
const PAUSE_MS = 60_000;

let channel = null;
let timeline = null;
let stream = null;
let loadTimer = 0;
let pauseTimer = 0;

const session = new Session();
const outbox = new Outbox(() => session.isSignedIn);
const connection = new Connection();
const view = new LogView({
  older: loadOlder,
  end: markSeen,
  render: () => search.highlight(),
  retry: (id) => outbox.retry(id),
  discard: (id) => outbox.discard(id),
});
const search = new Search(view, () => timeline?.messages ?? []);
const composer = new Composer({ send, page: (direction) => view.scrollPages(direction) });
const channels = new ChannelList(connection, {
  unread: showUnread,
  update: channelsTold,
  refused: (error) => session.refused(error),
});

// ---- the open channel

function channelOfAddress() {
  const text = location.hash.replace(/^#\/?/, '');
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function openAddress() {
  const wanted = channelOfAddress();
  if (wanted) open(wanted);
  else location.replace(`#/${encodeURIComponent(lastChannel.get() ?? channels.first ?? DEFAULT_CHANNEL)}`);
}

function open(wanted) {
  channel = wanted;
  search.close();
  closeSidebar();
  showTitle();
  const error = channelNameError(channel);
  composer.isEnabled = !error;
  composer.open(channel);
  channels.clearFilter();
  channels.open = channel;
  if (error) {
    leave();
    view.showInstead(instead('This cannot be a channel', error));
    return;
  }
  lastChannel.set(channel);
  load();
  if (matchMedia('(pointer: fine)').matches) composer.focus();
}

function leave() {
  clearTimeout(loadTimer);
  stream?.close();
  stream = null;
  timeline = null;
  connection.report('stream', 'live');
}

// Loads the newest messages, and follows. `notice`: what the reader should know.
async function load(notice = '') {
  leave();
  const loading = new Timeline(channel);
  timeline = loading;
  connection.report('stream', 'connecting');
  view.showInstead(skeleton());
  try {
    await loading.loadLatest();
  } catch (error) {
    if (timeline !== loading) return;
    loadFailed(error, notice);
    return;
  }
  if (timeline !== loading) return;
  const mark = seen.get(channel);
  const isUnread = mark && mark.epoch === loading.last.epoch && mark.sequence < loading.last.sequence;
  settleOutbox(loading.messages);
  view.show(loading, isUnread ? mark.sequence : null);
  showPending();
  follow();
  if (notice) announce(notice);
}

function loadRefused(error) {
  leave();
  connection.report('stream', 'refused');
  view.showInstead(
    instead(
      error.status === 401 ? 'Sign in to read this channel' : 'You may not read this channel',
      error.status === 401 ? 'Whoever runs this server gives you a token.' : `${error.message}.`,
      button('Sign in', () => session.ask(), { class: 'primary' }),
      button('Try again', () => load(), { class: 'quiet' }),
    ),
  );
  showPending();
  session.refused(error);
}

function loadFailed(error, notice) {
  if (error.isRefused) {
    loadRefused(error);
    return;
  }
  const again = () => load(notice);
  connection.report('stream', error.isLost ? 'lost' : 'away', Date.now() + LOAD_AGAIN_MS);
  view.showInstead(
    instead(
      'The messages cannot be loaded',
      error.isTemporary ? 'The server does not answer. This page keeps trying.' : `${error.message}.`,
      button('Try again', again, { class: 'primary' }),
    ),
  );
  showPending();
  loadTimer = setTimeout(again, Math.max(error.retryAfterMs ?? 0, LOAD_AGAIN_MS));
}

function follow() {
  const mine = timeline;
  stream = new Stream(channel, timeline.position, {
    messages: arrived,
    // Messages are gone, or the log is another one: what is shown may be, too.
    gap: ({ reason }) => timeline === mine && load(`Messages of this channel are gone (${reason.replace('_', ' ')}).`),
    refused: (error) => timeline === mine && loadRefused(error),
    state: (state, retryAt) => connection.report('stream', state, retryAt),
  });
}

async function loadOlder() {
  const loading = timeline;
  try {
    const { length } = await loading.loadOlder();
    search.update();
    return length;
  } catch {
    return null;
  }
}

function arrived(list) {
  const messages = timeline.append(list);
  settleOutbox(messages);
  if (document.hidden && !hasUnreadLine && messages.length > 0) {
    view.markUnread(messages[0].sequence - 1);
    hasUnreadLine = true;
  }
  view.added(messages);
  search.update();
  announceMessages(messages);
}

function spoken({ author, text, data }) {
  const words = data ? `${text.slice(0, 300)} (${describeData(data)})` : text.slice(0, 300);
  return `${author || 'anonymous'}: ${words.trim()}`;
}

function announceMessages(messages) {
  const mine = session.isSignedIn ? outbox.identity : name.get();
  const others = messages.filter(({ author }) => author !== mine);
  if (others.length === 0) return;
  announce(
    others.length > MOST_ANNOUNCED
      ? count(others.length, 'new message', 'new messages')
      : others.map(spoken).join('\n'),
  );
}

// ---- what has been read

// A line marks what has come while nobody looked.
let hasUnreadLine = false;

function markSeen() {
  if (document.hidden || !timeline?.position || !view.isAtEnd) return;
  seen.advance({ [channel]: timeline.last });
  channels.refresh();
}

function showUnread(total) {
  const title = channel === null ? 'messenger' : `#${channel} – messenger`;
  document.title = total > 0 ? `(${total > 99 ? '99+' : total}) ${title}` : title;
  byId('unread-dot').hidden = total === 0;
  byId('open-sidebar').setAttribute(
    'aria-label',
    total > 0 ? `Channels, ${count(total, 'unread message', 'unread messages')}` : 'Channels',
  );
}

// A stream that the system has silently dropped, as over a suspend, brings
// nothing while the list says that there is more.
let behindSince = null;

function channelsTold(list) {
  const head = list.get(channel)?.head ?? 0;
  const isBehind = stream && !document.hidden && timeline?.position && head > timeline.last.sequence;
  if (isBehind && behindSince === timeline.position) stream.reconnect(true);
  behindSince = isBehind ? timeline.position : null;
}

// ---- sending

function send(text) {
  if (!session.isSignedIn && !name.get()) {
    askName();
    return false;
  }
  outbox.add(channel, session.isSignedIn ? '' : name.get(), text);
  view.markUnread(null);
  hasUnreadLine = false;
  view.toEnd();
  return true;
}

function settleOutbox(messages) {
  outbox.settle(channel, messages, timeline.last);
  view.lastSent = outbox.lastSent;
  showIdentity();
}

function showPending() {
  view.setPending(outbox.of(channel));
}

// ---- who writes, and new channels

function showIdentity() {
  const isSignedIn = session.isSignedIn;
  byId('edit-name').hidden = isSignedIn;
  byId('sign-in').hidden = isSignedIn;
  byId('sign-out').hidden = !isSignedIn;
  byId('signed-in').hidden = !isSignedIn;
  byId('signed-in').textContent = outbox.identity === null ? 'Signed in' : `Signed in as ${outbox.identity}`;
}

// What was shown may be nobody else's business.
function sessionChanged() {
  outbox.identity = null;
  showIdentity();
  announce(session.isSignedIn ? 'Signed in' : 'Signed out');
  if (!channelNameError(channel)) load();
  channels.ask();
  outbox.wake();
}

async function begin() {
  await session.check();
  showIdentity();
  outbox.wake();
  if (!session.isSignedIn && !name.get() && !document.querySelector('dialog[open]')) askName();
}

function showName() {
  const mine = name.get();
  byId('my-name').textContent = mine || 'Choose a name';
  byId('my-avatar').replaceWith(Object.assign(avatar(mine), { id: 'my-avatar' }));
  byId('edit-name').title = mine ? 'Change your name' : '';
}

function askName() {
  byId('name').value = name.get();
  byId('name-dialog').showModal();
  byId('name').select();
}

function takeName(event) {
  event.preventDefault();
  const mine = byId('name').value.trim();
  if (!mine) return;
  name.set(mine);
  showName();
  byId('name-dialog').close();
  composer.focus();
}

function askChannel() {
  byId('channel-name').value = '';
  byId('channel-error').textContent = '';
  byId('channel-dialog').showModal();
}

function takeChannel(event) {
  event.preventDefault();
  const wanted = byId('channel-name').value.trim().replace(/^#/, '');
  const error = channelNameError(wanted);
  byId('channel-error').textContent = error;
  byId('channel-name').setAttribute('aria-invalid', String(Boolean(error)));
  if (error) return;
  byId('channel-dialog').close();
  location.hash = `#/${encodeURIComponent(wanted)}`;
}

// ---- the frame around it

const narrow = matchMedia('(max-width: 767px)');

function showTitle() {
  byId('title').replaceChildren(
    element('span', { class: 'hash', 'aria-hidden': 'true' }, '#'),
    element('bdi', {}, channel),
  );
  byId('title').title = channel;
}

function openSidebar() {
  byId('app').classList.add('sidebar-open');
  byId('open-sidebar').setAttribute('aria-expanded', 'true');
  byId('main').inert = narrow.matches;
  (byId('channels').querySelector('[aria-current]') ?? byId('filter')).focus();
}

function closeSidebar() {
  if (!byId('app').classList.contains('sidebar-open')) return;
  byId('app').classList.remove('sidebar-open');
  byId('open-sidebar').setAttribute('aria-expanded', 'false');
  byId('main').inert = false;
  byId('open-sidebar').focus();
}

function findChannel() {
  if (narrow.matches) openSidebar();
  channels.find();
}

function instead(title, text, ...more) {
  return element(
    'div',
    { class: 'instead' },
    element('p', { class: 'instead-title' }, title),
    element('p', {}, text),
    ...more,
  );
}

function skeleton() {
  const line = () => element('div', { class: 'skeleton-row' }, element('span'), element('span'), element('span'));
  return element(
    'div',
    { class: 'skeleton', role: 'img', 'aria-label': 'Loading messages' },
    ...Array.from({ length: 6 }, line),
  );
}

function isWriting(target) {
  return target.closest('input, textarea, [contenteditable], dialog') !== null;
}

function shortcut(event) {
  const isCommand = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  const key = event.key.toLowerCase();
  if (document.querySelector('dialog[open]')) return;
  if ((isCommand && key === 'k') || (key === '/' && !isWriting(event.target))) {
    findChannel();
  } else if (isCommand && key === 'f' && event.target !== byId('search-text')) {
    // Once more, and it is the browser's.
    search.open();
  } else if (key === 'escape' && !event.isComposing) {
    if (search.isOpen) search.close();
    else if (byId('app').classList.contains('sidebar-open')) closeSidebar();
    else composer.focus();
  } else {
    return;
  }
  event.preventDefault();
}

function comeBack() {
  stream?.reconnect();
  channels.ask();
  outbox.wake();
}

addEventListener('hashchange', openAddress);
addEventListener('keydown', shortcut);
addEventListener('online', comeBack);
addEventListener('offline', () => stream?.pause());
connection.addEventListener('retry', comeBack);
connection.addEventListener('live', () => {
  outbox.wake();
  view.resume();
});
outbox.addEventListener('change', (event) => {
  if (event.detail !== channel) return;
  // The answer may come after the message itself.
  if (timeline?.position) settleOutbox([]);
  showPending();
});
outbox.addEventListener('failed', ({ detail: error }) => {
  announce(`Not sent: ${error.message}`);
  session.refused(error);
});
session.addEventListener('change', sessionChanged);
document.addEventListener('visibilitychange', () => {
  clearTimeout(pauseTimer);
  if (document.hidden) {
    hasUnreadLine = false;
    pauseTimer = setTimeout(() => stream?.pause(), PAUSE_MS);
  } else {
    markSeen();
    stream?.reconnect();
  }
});
narrow.addEventListener('change', closeSidebar);

byId('new-channel').addEventListener('click', askChannel);
byId('channel-form').addEventListener('submit', takeChannel);
byId('edit-name').addEventListener('click', askName);
byId('name-form').addEventListener('submit', takeName);
for (const close of document.querySelectorAll('[data-close]')) {
  close.addEventListener('click', () => close.closest('dialog').close());
}
byId('open-sidebar').addEventListener('click', openSidebar);
byId('close-sidebar').addEventListener('click', closeSidebar);
byId('scrim').addEventListener('click', closeSidebar);
byId('channels').addEventListener('click', (event) => event.target.closest('a') && closeSidebar());
document.querySelector('.skip-link').addEventListener('click', (event) => {
  event.preventDefault();
  composer.focus();
});

showName();
openAddress();
begin();
