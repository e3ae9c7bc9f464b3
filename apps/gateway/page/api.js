// The gateway's API, as openapi.json describes it. URLs are relative, so that a
// proxy may serve the page below a path.

const TIMEOUT_MS = 30_000;
const MAX_CHANNELS = 5_000;

export class ApiError extends Error {
  // `status` 0: there was no answer.
  constructor(status, problem = {}, retryAfter = 0) {
    super(problem.detail ?? (status === 0 ? 'there was no answer' : `HTTP status ${status}`));
    this.status = status;
    this.retryAfterMs = retryAfter * 1000;
  }

  // Nobody is there: not even the gateway, or a proxy says so on its behalf.
  get isLost() {
    return this.status === 0;
  }

  // It takes a token, or one that may do more.
  get isRefused() {
    return [401, 403].includes(this.status);
  }

  // The same request may succeed later.
  get isTemporary() {
    return this.isLost || [408, 429, 503, 504].includes(this.status);
  }
}

async function request(path, options = {}) {
  let response;
  let body = {};
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.status !== 204) body = await response.json();
  } catch {
    // A body that is cut off is no answer; one that is no JSON is a proxy's.
    if (!response || response.ok) throw new ApiError(0);
  }
  if (response.ok) return body;
  throw new ApiError(response.status, body, Number(response.headers.get('Retry-After')) || 0);
}

// {signed_in}: whether the cookie has a token that is valid.
export const getSession = () => request('v1/session');

export function signIn(token) {
  return request('v1/session', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token }),
  });
}

export const signOut = () => request('v1/session', { method: 'DELETE' });

const channelPath = (channel) => `v1/channels/${encodeURIComponent(channel)}`;

export async function listChannels() {
  const channels = [];
  let next = null;
  do {
    const page = await request(next === null ? 'v1/channels' : `v1/channels?after=${encodeURIComponent(next)}`);
    channels.push(...page.channels);
    next = page.next;
  } while (next !== null && channels.length < MAX_CHANNELS);
  return channels;
}

// readPage('general', {last: 100}), or {from}, {after}, with {limit}.
export function readPage(channel, query) {
  return request(`${channelPath(channel)}/messages?${new URLSearchParams(query)}`);
}

// `key`: the same for the same message, however often it is sent.
export function sendMessage(channel, message, key) {
  return request(`${channelPath(channel)}/messages`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    body: JSON.stringify(message),
  });
}

// Where the bytes of a message are.
export function dataUrl(channel, { epoch, sequence }) {
  return `${channelPath(channel)}/messages/${epoch}:${sequence}/data`;
}

export function streamUrl(channel, after) {
  return `${channelPath(channel)}/stream?after=${after}`;
}

// What is wrong with the name of a channel; empty if nothing.
export function channelNameError(channel) {
  if (!channel) return 'Enter a name.';
  if (channel.length > 128) return 'Names have at most 128 characters.';
  if (!/^[A-Za-z0-9._-]+$/.test(channel)) {
    return 'Names may contain only A–Z, a–z, digits, dots, dashes and underscores.';
  }
  // Browsers take them for parts of a path.
  if (/^\.\.?$/.test(channel)) return 'A name of dots alone cannot be opened in a browser.';
  return '';
}
