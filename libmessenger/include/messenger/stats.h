// What a server, its log and a client count, for whoever watches them.
//
// A number that is marked "now" says how it is; it goes up and down. All others
// only grow, from 0 when the object begins that counts them: a `Service`, a
// log, a `Client`. Nothing is counted by channel, reader or connection, so
// there are no more numbers than these.
//
// Asking for them costs about a microsecond, and waits for no storage, network
// or callback: once a second is fine. Each number is right, but they are not
// read at one moment: those of one answer may differ by what happened while it
// was made. For a rate, take the difference of two answers; do not expect that
// sums agree.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace messenger {

// Calls of one method.
struct MethodStats {
  // That have begun.
  std::uint64_t calls = 0;
  // That the service ended with an error other than CANCELLED, whoever had to
  // answer for it.
  std::uint64_t errors = 0;
};

// What was refused, or ended with an error, by reason.
struct RefusalStats {
  // The reasons of messenger/error.h by these names.
  std::uint64_t shutting_down = 0;
  std::uint64_t overloaded = 0;
  std::uint64_t storage_failed = 0;
  std::uint64_t storage_full = 0;
  std::uint64_t limit_reached = 0;
  // Without one of them: UNAVAILABLE, such as what cannot be read.
  std::uint64_t unavailable = 0;
  // RESOURCE_EXHAUSTED: there was no memory for the request.
  std::uint64_t exhausted = 0;
  // INVALID_ARGUMENT: a request that is malformed, or out of bounds.
  std::uint64_t invalid = 0;
  // FAILED_PRECONDITION: what a producer sent is not what follows, or another
  // process of its name sends; an idempotency key was used for another message.
  std::uint64_t producer = 0;
  // OUT_OF_RANGE: a reader cannot start where it wants to.
  std::uint64_t start = 0;
  // NOT_FOUND: there is no such channel, or no such producer.
  std::uint64_t not_found = 0;
  // DATA_LOSS: a stored message is damaged.
  std::uint64_t damaged = 0;
  // CANCELLED: whoever wanted it is gone. Of a log alone: calls that end so are
  // no errors.
  std::uint64_t cancelled = 0;
  // UNAUTHENTICATED: a token that is not valid, or none where one is needed.
  std::uint64_t unauthenticated = 0;
  // PERMISSION_DENIED: a right that is missing, a producer of somebody else, a
  // connection over which the service is not used.
  std::uint64_t denied = 0;
  // WRONG_LAST_SEQUENCE: a conditional append whose condition did not hold.
  std::uint64_t condition = 0;
  // ABORTED: an append that followed one that had failed.
  std::uint64_t aborted = 0;
  // Anything else.
  std::uint64_t other = 0;
};

// Gaps that readers were told of, by reason: see Gap::Reason.
struct GapStats {
  std::uint64_t retention = 0;
  std::uint64_t damaged = 0;
  std::uint64_t deleted = 0;
  std::uint64_t new_epoch = 0;
  std::uint64_t rolled_back = 0;
};

// What a service was sent, by SendMessage and SendMessages.
struct SendStats {
  // SendMessages streams, now.
  std::uint64_t streams = 0;
  // Requests that were admitted, their messages, and their bytes as they came.
  std::uint64_t requests = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  // How often a stream was not read for a while, since too many of its appends
  // were under way, or waited, or its receipts were not taken.
  std::uint64_t stalls = 0;
  // Requests that waited for other calls' appends: see max_append_bytes.
  std::uint64_t waits = 0;
  // Streams that were cut off half a second after they had lost the right,
  // before all of their appends were answered.
  std::uint64_t expelled = 0;
  // Bytes of appends that are under way, and of those that wait, now.
  std::uint64_t appending_bytes = 0;
  std::uint64_t waiting_bytes = 0;
};

// What a service has sent to readers: ReadMessages streams.
struct ReadStats {
  // Readers, and those of them that have read everything and wait, now.
  std::uint64_t readers = 0;
  std::uint64_t parked = 0;
  // How often a reader that waited was woken.
  std::uint64_t wakes = 0;
  // Frames that were handed to the transport, heartbeats and those without
  // messages included; the messages in them, one for each reader that gets it;
  // and the bytes of these.
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  GapStats gaps = {};
  // Readers that were cut off: since they took no frame for stall_timeout, and
  // since all frames held more than max_frames_in_flight_bytes.
  std::uint64_t stalled = 0;
  std::uint64_t crowded_out = 0;
  // And those that had not ended half a second after they had lost the right.
  std::uint64_t expelled = 0;
  // Bytes of log memory that frames on their way hold, now.
  std::uint64_t held_bytes = 0;
};

struct ServiceStats {
  MethodStats send_message = {};
  MethodStats send_messages = {};
  MethodStats read_messages = {};
  MethodStats list_channels = {};
  MethodStats get_channel = {};
  MethodStats delete_channel = {};
  MethodStats open_producer = {};
  MethodStats list_producers = {};
  MethodStats delete_producer = {};
  // Of all methods: a call that has an error counts once.
  RefusalStats refusals = {};
  SendStats sends = {};
  ReadStats reads = {};
};

// What a log has stored, and how. A log in memory has no rounds, syncs,
// checkpoints and segments.
struct LogStats {
  // Channels, now; a deleted one may count until the next checkpoint.
  std::uint64_t channels = 0;
  // Batches that were stored, each of one request; the messages that they have
  // added, and the bytes of these as they are stored; and messages that were
  // there already, sent again by their producers.
  std::uint64_t batches = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t duplicates = 0;
  // Batches that were not stored.
  RefusalStats refusals = {};
  // Rounds: requests, which are batches and deletions, and openings of named
  // producers, that share one write and one sync. Those of them count that were
  // refused, or repeated what is stored, too.
  std::uint64_t rounds = 0;
  // Rounds by how many requests they had: the first of these counts those of
  // one, the next of 2 and 3, then 4 to 7, …; the last one all that are larger.
  std::array<std::uint64_t, 16> rounds_by_requests = {};
  // Syncs of the journal, and the time spent in them.
  std::uint64_t syncs = 0;
  std::chrono::nanoseconds sync_time{0};
  // Checkpoints: what was in the journal has been brought into segments.
  std::uint64_t checkpoints = 0;
  // Reads that found messages: in memory, and in segments.
  std::uint64_t memory_reads = 0;
  std::uint64_t segment_reads = 0;
  // Reads that met damage, whether it was skipped or not.
  std::uint64_t damaged_reads = 0;
  // Named producers, and idempotency keys that are remembered, now.
  std::uint64_t named_producers = 0;
  std::uint64_t idempotency_keys = 0;
};

// Of a `Server`: since it was started, but `log` since that was opened.
struct ServerStats {
  ServiceStats service = {};
  LogStats log = {};
  // Connections over TCP that were refused: see Server::refused_connections.
  std::uint64_t refused_connections = 0;
};

// What a client has sent, by Send and SendAsync.
struct ClientSendStats {
  // Messages that were taken, and those of them that have a receipt, have
  // failed, and wait for either, now.
  std::uint64_t messages = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t failed = 0;
  std::uint64_t waiting = 0;
  // Messages that were written once more, after a stream had ended.
  std::uint64_t resent = 0;
  // Requests that were written, and their bytes.
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;
  // Streams that were started.
  std::uint64_t streams = 0;
};

// What a client has read.
struct ClientReadStats {
  // Frames that have arrived, the messages in them, and the bytes of the
  // frames. What several subscriptions share counts once.
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  GapStats gaps = {};
  // Messages that subscriptions were given.
  std::uint64_t delivered = 0;
  // Streams that were started: one more than a feed needs each time that it
  // resumes.
  std::uint64_t streams = 0;
};

struct ClientStats {
  ClientSendStats sends = {};
  ClientReadStats reads = {};
  // Connections that were made, or tried: after the first one, each replaces
  // one that was lost.
  std::uint64_t connections = 0;
};

}  // namespace messenger
