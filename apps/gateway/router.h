// What the gateway serves: which path is answered by what.
#pragma once

#include <optional>

#include "apps/gateway/gateway.h"
#include "apps/gateway/http.h"
#include "apps/gateway/origin_guard.h"
#include "apps/gateway/peer_guard.h"

namespace messenger::app {

// Thread safety: all members may be called from any thread.
class Router {
 public:
  // All of them must outlive it.
  Router(Gateway* gateway, PeerGuard* peers, const OriginGuard* guard)
      : gateway_(gateway), peers_(peers), guard_(guard) {}

  // The answer to a request that needs no look at its body: it is refused, is
  // for nothing that is there, or asks what may be asked.
  std::optional<Response> AnswerHead(const Request& head) const;

  // Answers a request to which AnswerHead had no answer. The request has to
  // stay until then.
  void Answer(const Request& request, Respond respond) const;

  // What each answer to this request has, unless the answer has its own.
  Headers CommonHeaders(const Headers& request) const;

 private:
  Gateway* const gateway_;
  PeerGuard* const peers_;
  const OriginGuard* const guard_;
};

}  // namespace messenger::app
