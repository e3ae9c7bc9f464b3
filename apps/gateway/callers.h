// Those in whose name the gateway acts: itself, and whoever sends a token.
//
// The server decides what a token may, so each has a client of its own. What
// streams share, they share within one client: nobody receives anything through
// the right of somebody else.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "apps/gateway/callback_threads.h"
#include "apps/gateway/frame_texts.h"
#include "apps/gateway/token_digest.h"
#include "messenger/client.h"

namespace messenger::app {

// Thread safety: `client` and `frame_texts` may be called from any thread.
class Caller {
 public:
  explicit Caller(ClientOptions options)
      : client_(Client::Connect(std::move(options))) {}

  Client& client() { return *client_; }
  FrameTexts& frame_texts() { return frame_texts_; }

  // Ends what it has begun, and waits for the last callbacks. Nobody may use it
  // afterwards, though some may still have it.
  void End() { client_.reset(); }

 private:
  std::optional<Client> client_;
  FrameTexts frame_texts_;
};

struct CallersOptions {
  // Of the gateway's own client, but for the executor. Those of the others
  // differ in the token, and say nothing: what they meet, the gateway's own
  // meets as well.
  ClientOptions client = {};
  // On which all of them call back.
  std::size_t callback_threads = 2;
  // Most tokens at the same time. One that nobody uses makes room.
  std::size_t max_tokens = 1000;
  // A token that nobody has used for so long is forgotten.
  std::chrono::nanoseconds idle_timeout = std::chrono::minutes(1);
};

// Thread safety: all members may be called from any thread.
class Callers {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Callers(CallersOptions options);
  // Ends all of them: see Caller::End.
  ~Callers();
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  // The gateway itself.
  const std::shared_ptr<Caller>& own() const { return own_; }

  // FAILED_PRECONDITION says why no token can be passed on to the server.
  const absl::Status& CheckPassingOn() const { return passing_on_; }

  // Who has this token, for as long as the pointer is kept; the server says of
  // each call whether it is still valid. Null if nobody is known by it.
  std::shared_ptr<Caller> Find(const std::string& token);

  // The same for a token that the server has said to take, and that can be
  // passed on: from now on, it is known. RESOURCE_EXHAUSTED if too many are in
  // use; INVALID_ARGUMENT says what is wrong with the files of the gateway,
  // which may have changed. Blocks.
  absl::StatusOr<std::shared_ptr<Caller>> Add(const std::string& token);

  // The server does not take this caller's token any more: nobody is known by
  // it from now on. Those who have the caller may go on using it.
  void Forget(const Caller& caller);

  // Takes out those that nobody needs any more. To be called now and then, on a
  // thread that may block: their clients end with them.
  std::vector<std::shared_ptr<Caller>> TakeIdle(Clock::time_point now);

 private:
  struct Entry {
    std::shared_ptr<Caller> caller;
    Clock::time_point used;  // when somebody was seen to have it
  };

  std::shared_ptr<Caller> FindLocked(const TokenDigest& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether there is room for one more, or was made.
  bool MakeRoom(Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<CallbackThreads> threads_;
  const CallersOptions options_;
  const std::shared_ptr<Caller> own_;
  const absl::Status passing_on_;
  absl::Mutex mu_;
  absl::flat_hash_map<TokenDigest, Entry> entries_ ABSL_GUARDED_BY(mu_);
  // They had to make room, or were forgotten, and wait for TakeIdle.
  std::vector<std::shared_ptr<Caller>> displaced_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
