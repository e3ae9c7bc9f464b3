// Asks the server about tokens, for callers that the gateway does not know yet.
//
// Whoever reaches the gateway can send it any text as a token. Such a text must
// cost little, so that nobody is locked out by it: one small call over a
// connection that is there anyway, and no more of them at the same time than
// there is a bound for.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "apps/gateway/seldom.h"
#include "apps/gateway/token_digest.h"

namespace messenger::app {

struct TokenChecksOptions {
  // Asks the server: OK, or why it does not take the token. May block.
  std::function<absl::Status(const std::string&)> ask;
  // Runs a task on a thread on which it may ask.
  std::function<void(absl::AnyInvocable<void()>)> post;
  // Most tokens that are being asked about, or wait for that.
  std::size_t max_tokens = 100;
  // One that has waited for so long is not asked about any more.
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);
  // Told that tokens are refused for the bound, now and then.
  std::function<void(std::string_view)> on_notice;
};

// Thread safety: all members may be called from any thread. The tasks that it
// has posted must have ended before it is destroyed.
class TokenChecks {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&)>;

  explicit TokenChecks(TokenChecksOptions options)
      : options_(std::move(options)) {}

  // Calls `done` once, on any thread and perhaps at once, with what the server
  // says of the token; UNAVAILABLE if it could not be asked in time;
  // RESOURCE_EXHAUSTED if too many tokens wait. Whoever comes with a token that
  // is being asked about waits for the same answer.
  void Check(const std::string& token, Done done);

 private:
  absl::Status Ask(const std::string& token,
                   std::chrono::steady_clock::time_point latest) const;
  void Refuse(Done done);

  const TokenChecksOptions options_;
  Seldom refusals_;
  absl::Mutex mu_;
  absl::flat_hash_map<TokenDigest, std::vector<Done>> waiting_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
