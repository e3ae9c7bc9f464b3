// Messages to send, as the body of a request has them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "apps/gateway/http.h"
#include "apps/gateway/problem.h"
#include "messenger/message.h"

namespace messenger::app {

// Most messages of one request.
inline constexpr std::size_t kMaxMessagesOfRequest = 1000;

struct MessageBody {
  std::vector<NewMessage> messages = {};
  // Whether they came as an array.
  bool is_array = false;
};

// {"author": "ann", "text": "hello", "attributes": [{"name": …, "value": …}],
// "data": …, "content_type": …}, each of them optional, the data in base64, or
// an array of these. All of them can be sent to `channel`, or none is taken:
// the problem names the field.
std::variant<MessageBody, Problem> ParseMessageBody(
    std::string_view body, const std::string& channel,
    std::size_t max_message_bytes = kDefaultMaxMessageBytes);

// What the Content-Type says that it is: JSON as above, if that is
// application/json, is missing, or is what curl and fetch() give of themselves
// (application/x-www-form-urlencoded, text/plain); else the data of one
// message, whose author and text may be in the query.
std::variant<MessageBody, Problem> ParseBodyOfRequest(
    const Request& request, const std::string& channel,
    std::size_t max_message_bytes = kDefaultMaxMessageBytes);

// As the original took it: one object, of which only author and text count.
std::variant<MessageBody, Problem> ParsePostboxBody(
    std::string_view body,
    std::size_t max_message_bytes = kDefaultMaxMessageBytes);

}  // namespace messenger::app
