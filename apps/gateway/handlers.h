// What answers the requests; the Router says which of them.
#pragma once

#include <memory>

#include "apps/gateway/callers.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/http.h"

namespace messenger::app {

using CallerPtr = std::shared_ptr<Caller>;

// Each answers once, on any thread, and does not block. The path has been
// checked, the name of the channel included. The request stays until it has
// been answered. Those that ask the server do so in the name of a caller.

void PostSendMessage(Gateway* gateway, const CallerPtr& caller,
                     const Request& request, Respond respond);
void PostGetAndFlushMessages(Gateway* gateway, const Request& request,
                             Respond respond);

void PostMessages(Gateway* gateway, const CallerPtr& caller,
                  const Request& request, Respond respond);
void GetMessages(Gateway* gateway, const CallerPtr& caller,
                 const Request& request, Respond respond);
void GetData(Gateway* gateway, const CallerPtr& caller, const Request& request,
             Respond respond);
void GetStream(Gateway* gateway, const CallerPtr& caller,
               const Request& request, Respond respond);

void GetChannels(Gateway* gateway, const CallerPtr& caller,
                 const Request& request, Respond respond);
void GetChannel(Gateway* gateway, const CallerPtr& caller,
                const Request& request, Respond respond);
void DeleteChannel(Gateway* gateway, const CallerPtr& caller,
                   const Request& request, Respond respond);

void PostSession(Gateway* gateway, const Request& request, Respond respond);
void GetSession(Gateway* gateway, const Request& request, Respond respond);
void DeleteSession(Gateway* gateway, const Request& request, Respond respond);

void GetPage(Gateway* gateway, const Request& request, Respond respond);
void GetPageFile(Gateway* gateway, const Request& request, Respond respond);

void GetOpenApi(Gateway* gateway, const Request& request, Respond respond);
void GetHealthz(Gateway* gateway, const Request& request, Respond respond);
void GetReadyz(Gateway* gateway, const Request& request, Respond respond);

}  // namespace messenger::app
