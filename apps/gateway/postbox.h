// The postbox: what has arrived in the channel "general" and was not fetched.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "apps/common/event.h"
#include "apps/common/json.h"
#include "messenger/client.h"

namespace messenger::app {

struct PostboxLimits {
  std::size_t max_messages = 10'000;
  // Of authors and texts.
  std::size_t max_bytes = std::size_t{16} << 20;
};

struct PostboxContents {
  // [{"author","text","sendTime"},…]: the form that the original had.
  Json messages = Json::array();
  // Dropped since the last Flush, as there was no room; they were older.
  std::uint64_t dropped = 0;
};

// Thread safety: all members may be called from any thread.
class Postbox {
 public:
  explicit Postbox(PostboxLimits limits) : limits_(limits) {}
  ~Postbox() = default;

  Postbox(const Postbox&) = delete;
  Postbox& operator=(const Postbox&) = delete;

  // Puts a message in. If it is full, the oldest ones are dropped for it; true
  // for the first ones since the last Flush.
  bool Put(const Message& message);

  // Takes out what is there.
  PostboxContents Flush();

 private:
  struct Entry {
    std::string author;
    std::string text;
    Timestamp send_time;

    std::size_t bytes() const { return author.size() + text.size(); }
  };

  const PostboxLimits limits_;
  absl::Mutex mu_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
};

// Reads the channel into the postbox, from now on and for as long as it lives.
//
// It reads in the gateway's own name. If that may not read the channel, there
// is no postbox until it may.
//
// Thread safety: the public members may be called from any thread.
class PostboxReader {
 public:
  using Notice = std::function<void(std::string_view)>;
  // Why the server cannot be reached; nothing: it can.
  using ServerAway = std::function<void(const std::optional<std::string>&)>;

  // All of them must outlive it.
  PostboxReader(Client* client, Postbox* postbox, Notice notice,
                ServerAway server_away);
  ~PostboxReader();

  PostboxReader(const PostboxReader&) = delete;
  PostboxReader& operator=(const PostboxReader&) = delete;

  // Whether it has stood in the channel: every later message comes.
  bool joined() const { return joined_; }
  // Or why it may not.
  absl::Status refusal() const;
  // Until one of both is known.
  void WaitUntilSettled(std::chrono::milliseconds timeout) const;

 private:
  void Read(Start start) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnJoined();
  void OnState(const SubscriptionState& state);
  // Whether this was not told before: it tries again and again.
  bool IsNews(const absl::Status& status);
  void OnEnd(const absl::Status& status);

  Client* const client_;
  Postbox* const postbox_;
  const Notice notice_;
  const ServerAway server_away_;
  std::atomic<bool> joined_ = false;
  Event settled_event_;
  Event stop_event_;
  mutable absl::Mutex mu_;
  // Of the last try, if that has failed.
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  Subscription subscription_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
