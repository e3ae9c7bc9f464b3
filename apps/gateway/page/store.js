// What the browser remembers. Without storage, as in some private windows, it
// remembers nothing and works all the same.

function read(storage, key) {
  try {
    return JSON.parse(storage().getItem(`messenger.${key}`));
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  try {
    storage().setItem(`messenger.${key}`, JSON.stringify(value));
  } catch {
    // Full, or not allowed.
  }
}

// Of all tabs.
const local = () => localStorage;
// Of this tab; survives a reload.
const session = () => sessionStorage;

export const name = {
  get: () => read(local, 'name') ?? '',
  set: (value) => write(local, 'name', value),
};

export const lastChannel = {
  get: () => read(local, 'channel'),
  set: (value) => write(local, 'channel', value),
};

export const draft = {
  get: (channel) => read(local, 'drafts')?.[channel] ?? '',
  set(channel, text) {
    const { [channel]: _, ...others } = read(local, 'drafts') ?? {};
    write(local, 'drafts', text ? { ...others, [channel]: text } : others);
  },
};

export const outbox = {
  get: () => read(session, 'outbox') ?? [],
  set: (entries) => write(session, 'outbox', entries),
};

// Whether this browser has been here before.
export const visited = {
  get: () => read(local, 'visited') ?? false,
  set: () => write(local, 'visited', true),
};

// How far each channel has been read: {channel: {epoch, sequence}}.
export const seen = {
  get: (channel) => read(local, 'seen')?.[channel],
  // Another tab may have read further.
  advance(marks) {
    const all = read(local, 'seen') ?? {};
    for (const [channel, mark] of Object.entries(marks)) {
      const old = all[channel];
      if (!old || old.epoch !== mark.epoch || old.sequence < mark.sequence) all[channel] = mark;
    }
    write(local, 'seen', all);
  },
};
