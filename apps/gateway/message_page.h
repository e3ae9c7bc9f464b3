// The answer to GET /v1/channels/{channel}/messages: a page of messages.
#pragma once

#include <memory>
#include <string>

#include "apps/gateway/callers.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/http.h"
#include "apps/gateway/read_query.h"

namespace messenger::app {

// {"channel","messages":[…],"gaps":[…],"next","head","caught_up"}: what is
// there, or, with a wait, what comes first. `next` is where to go on, as
// `after`.
void ReadPage(Gateway* gateway, std::shared_ptr<Caller> caller,
              const std::string& channel, const ReadQuery& query,
              Respond respond);

}  // namespace messenger::app
