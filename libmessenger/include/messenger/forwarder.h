// Copies channels from one log to another: store and forward.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/bounds.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger {

// A channel of the source, and the one of the destination that gets its
// messages. Both as in NewMessage.
struct ForwardedChannel {
  std::string from = {};
  std::string to = {};
};

struct ForwarderOptions {
  // The servers. Of the destination, `producer_name`, `send_timeout`,
  // `when_full` and `max_message_bytes` are the forwarder's own. A server that
  // is away is waited for: for the longer `give_up_after` of the two, for the
  // one that is set, or for ever. Their `on_notice` is told of it.
  ClientOptions source = {};
  ClientOptions destination = {};
  // At least one; no two with the same `from`, or the same `to`.
  std::vector<ForwardedChannel> channels = {};
  // Forwarders that send to the same channel of a destination from different
  // logs have different names, such as those of their devices: 1 to 64 bytes of
  // UTF-8, without `/`. Another process that forwards the same channel under
  // the same name takes over.
  std::string name = "forward";
  static constexpr Bounds<std::size_t> kNameSize{1, 64};
  // End with OK when all is copied that the source had when it was last read to
  // its end. Default: go on with what comes.
  bool until_caught_up = false;
  // Told, a line without its end, what is tried again and why. As
  // ClientOptions::on_notice, which tells of servers that are away.
  std::function<void(std::string_view)> on_notice = nullptr;
};

// How far one channel is.
struct ForwardProgress {
  ForwardedChannel channel = {};
  // Copies that this forwarder knows to be stored, with those of gaps, and how
  // many of them had been stored by an earlier one.
  std::uint64_t forwarded = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t gaps = 0;
  // All of the source up to here is in the destination. Epoch 0: not known yet.
  Position position = {};
  // The newest sequence of the source, as far as it is known, and when the
  // message at `position` was sent there.
  std::uint64_t head = 0;
  Timestamp send_time = {};
  // Nothing is left to copy at present.
  bool caught_up = false;
  // Why it is being tried again at present, as far as it is known here: of a
  // destination that has gone while it was sent to, only the notices tell.
  absl::Status trouble = {};

  // Messages that the source has and the destination does not.
  std::uint64_t lag() const {
    return head > position.sequence ? head - position.sequence : 0;
  }
};

// Copies the messages of channels from a source to a destination, each once and
// in order, over crashes of itself and of both servers: it goes on where the
// last one was, however that has ended. The place to remember that is the
// destination itself: the forwarder is a named producer there (see
// Client::OpenProducer) whose numbers are those of the source, and a copy that
// is sent again is known again.
//
// A copy has author, text, data, content type and attributes of its original,
// and two attributes more: `messenger.source`, the bookmark of the original
// (Bookmark::ToString), and `messenger.source_time`, its send time (RFC 3339).
// Where messages are missing in the source, the copy is an empty message with
// the attribute `messenger.gap`, whose value is Gap::reason as a word;
// `messenger.gap.first_missing` and `messenger.gap.next` have the sequences,
// and `messenger.source` the place before `next`.
//
// The producer's name is NAME/EPOCH/RUN/CHANNEL: the source's epoch and channel
// are in it, so that a source that was replaced is not taken for what was
// copied before. If the source begins a new epoch, the forwarder goes on under
// a new producer, behind what it has copied if the source still has that, else
// with the gap that the source tells. RUN counts, from 0, how often the source
// was set back within an epoch. These producers stay (Client::ListProducers):
// they are what says how far a channel is. Each new epoch of a source takes one
// of the destination's max_named_producers.
//
// What it cannot see: a source that was set back within its epoch, and has
// grown past where it was, before it is looked at again; and a destination that
// was set back likewise while others send there. (Epoch and sequence are all
// that tells.) Two forwarders that copy a channel to each other never end.
//
// Nothing else should send to the destination's channel under this name; other
// senders there do no harm.
//
// Thread safety: all members may be called from any thread.
class Forwarder {
 public:
  // Begins to copy; the servers need not be there yet. INVALID_ARGUMENT names
  // the option that is wrong; an option of the clients, or a file of theirs
  // that cannot be used, is named as "source.OPTION" or "destination.OPTION".
  static absl::StatusOr<std::unique_ptr<Forwarder>> Start(
      ForwarderOptions options);

  // As Stop, and waits for the end.
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Ends soon, at the latest when a call that is under way has had its
  // call_timeout: what has no receipt is not waited for. Does not block.
  void Stop();

  // Blocks until it has ended, for `timeout` at most; whether it has.
  bool AwaitEnd(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt) const;

  // How it has ended: OK after Stop or until_caught_up. Of one channel it is
  // the first error of all, which stops the others too: FAILED_PRECONDITION
  // with the reason PRODUCER_FENCED if another process has taken over;
  // INVALID_ARGUMENT if the destination refuses a message, for its size for
  // example, since the two attributes have made it larger than the destination
  // takes; UNIMPLEMENTED if the destination is too old; PRODUCER_UNKNOWN if its
  // producer was deleted there; DATA_LOSS if the destination was set back, and
  // copies are missing there; UNAVAILABLE when the clients give up. UNKNOWN
  // while it runs.
  absl::Status status() const;

  // Of each channel, in the order of the options.
  std::vector<ForwardProgress> Progress() const;

 private:
  class Impl;
  explicit Forwarder(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace messenger
