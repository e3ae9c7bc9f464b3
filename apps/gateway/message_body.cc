#include "apps/gateway/message_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "apps/common/base64.h"
#include "apps/common/json.h"
#include "apps/common/status_text.h"
#include "apps/gateway/read_query.h"

namespace messenger::app {
namespace {

// An array of messages, with an array of attributes, which are objects.
constexpr int kMaxDepth = 4;
// JSON takes many times its length when it is taken apart. A request of 1000
// messages with 20 attributes each has 63,000 values.
constexpr int kMaxValues = 100'000;

Problem WrongType(std::string field, const Json& value,
                  std::string_view wanted) {
  return {.detail = fmt::format("{}: is of type {}, must be {}", field,
                                value.type_name(), wanted),
          .field = std::move(field),
          .value = value.is_structured() ? Json(value.type_name()) : value,
          .limit = wanted};
}

std::variant<Json, Problem> ParseJson(std::string_view body) {
  int values = 0;
  bool too_deep = false;
  // What is not kept costs no memory; so the parser goes on to the end.
  using Event = Json::parse_event_t;
  const auto keep = [&](int depth, Event event, Json&) {
    too_deep |= depth >= kMaxDepth &&
                (event == Event::object_start || event == Event::array_start);
    return ++values <= 2 * kMaxValues && !too_deep;
  };
  try {
    Json json = Json::parse(body, keep);
    if (too_deep) {
      return Problem{.detail = fmt::format(
                         "the body is nested deeper than {} levels", kMaxDepth),
                     .limit = kMaxDepth};
    }
    // Twice: it tells of the keys, and of both ends of an array or object.
    if (values > 2 * kMaxValues) {
      return Problem{
          .detail = fmt::format("the body has more than {} values", kMaxValues),
          .limit = kMaxValues};
    }
    return json;
  } catch (const Json::exception& error) {
    std::string_view what = error.what();
    what.remove_prefix(std::min(what.find("] ") + 2, what.size()));
    return Problem{.detail =
                       fmt::format("the body is not JSON in UTF-8: {}", what)};
  }
}

// Moves a string out of the value of a field.
std::optional<Problem> TakeString(std::string field, Json& value, Text* text) {
  if (!value.is_string()) return WrongType(std::move(field), value, "a string");
  *text = std::move(value.get_ref<std::string&>());
  return std::nullopt;
}

std::optional<Problem> TakeBase64(const std::string& field, const Json& value,
                                  Text* bytes) {
  const auto* const text = value.get_ptr<const std::string*>();
  if (text == nullptr) {
    return WrongType(field, value, "a string, in base64");
  }
  absl::StatusOr<std::string> parsed = ParseBase64(*text);
  if (!parsed.ok()) {
    return Problem{
        .detail = fmt::format("{}: {}", field, MessageOf(parsed.status())),
        .field = field,
        .value = value};
  }
  *bytes = *std::move(parsed);
  return std::nullopt;
}

Problem Unknown(const std::string& prefix, const std::string& key,
                std::string_view known) {
  return {.detail = fmt::format("{}{}: is not known; there are {}", prefix, key,
                                known),
          .field = prefix + key,
          .limit = known};
}

std::optional<Problem> TakeAttribute(const std::string& field, Json& json,
                                     NewAttribute* attribute) {
  if (!json.is_object()) return WrongType(field, json, "an object");
  const std::string prefix = field + ".";
  for (const auto& [key, value] : json.items()) {
    std::optional<Problem> problem;
    if (key == "name") {
      problem = TakeString(prefix + key, value, &attribute->name);
    } else if (key == "value") {
      problem = TakeString(prefix + key, value, &attribute->value);
    } else {
      problem = Unknown(prefix, key, "name and value");
    }
    if (problem) return problem;
  }
  return std::nullopt;
}

std::optional<Problem> TakeAttributes(const std::string& field, Json& json,
                                      std::vector<NewAttribute>* attributes) {
  if (!json.is_array()) return WrongType(field, json, "an array");
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (auto problem = TakeAttribute(fmt::format("{}[{}]", field, i), json[i],
                                     &attributes->emplace_back())) {
      return problem;
    }
  }
  return std::nullopt;
}

// `prefix` stands before the names of fields: "[3].", or nothing.
std::optional<Problem> TakeMessage(const std::string& prefix, Json& json,
                                   NewMessage* message) {
  for (const auto& [key, value] : json.items()) {
    std::optional<Problem> problem;
    if (key == "author") {
      problem = TakeString(prefix + key, value, &message->author);
    } else if (key == "text") {
      problem = TakeString(prefix + key, value, &message->text);
    } else if (key == "attributes") {
      problem = TakeAttributes(prefix + key, value, &message->attributes);
    } else if (key == "data") {
      problem = TakeBase64(prefix + key, value, &message->data);
    } else if (key == "content_type") {
      problem = TakeString(prefix + key, value, &message->content_type);
    } else {
      problem = Unknown(prefix, key,
                        "author, text, attributes, data and content_type");
    }
    if (problem) return problem;
  }
  return std::nullopt;
}

// The library's rules. Its texts begin with the field: "channel: …".
std::optional<Problem> CheckRules(const std::string& prefix,
                                  const NewMessage& message,
                                  std::size_t max_message_bytes) {
  const absl::Status status = CheckMessage(message, max_message_bytes);
  if (status.ok()) return std::nullopt;
  Problem problem = ProblemOf(status);
  const std::size_t colon = problem.detail.find(": ");
  if (colon == std::string::npos) {
    problem.detail = prefix + problem.detail;
    return problem;
  }
  problem.field = problem.detail.substr(0, colon);
  if (problem.field == "channel") {
    problem.value = std::string(std::string_view(message.channel));
  } else {
    problem.field = prefix + problem.field;
    problem.detail = prefix + problem.detail;
  }
  return problem;
}

// "application/json" of "Application/JSON; charset=utf-8".
std::string_view MediaType(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return type;
}

// What curl and fetch() give of themselves says nothing of the body.
bool IsJson(std::string_view content_type) {
  constexpr std::array<std::string_view, 4> kTypes = {
      "", "application/json", "application/x-www-form-urlencoded",
      "text/plain"};
  const std::string_view type = MediaType(content_type);
  return std::any_of(
      kTypes.begin(), kTypes.end(),
      [type](std::string_view json) { return EqualsIgnoringCase(type, json); });
}

std::variant<MessageBody, Problem> ParseData(const Request& request,
                                             std::string_view content_type,
                                             const std::string& channel,
                                             std::size_t max_message_bytes) {
  // Kept as they are, the bytes would be of another type than is said.
  const auto coding = FindHeader(request.headers, "Content-Encoding");
  if (coding && !EqualsIgnoringCase(*coding, "identity")) {
    return Problem{.status = 415,
                   .detail =
                       "Content-Encoding: is not undone; send the data "
                       "without",
                   .field = "Content-Encoding",
                   .value = std::string(*coding),
                   .limit = "identity"};
  }
  auto made = QueryFields::Make(request.target, "author text");
  if (auto* problem = std::get_if<Problem>(&made)) return std::move(*problem);
  const QueryFields& fields = std::get<QueryFields>(made);
  MessageBody result;
  NewMessage& message = result.messages.emplace_back();
  message.channel = std::string(channel);
  message.author = fields.Find("author").value_or("");
  message.text = fields.Find("text").value_or("");
  message.data = std::string(request.body);
  message.content_type = std::string(content_type);
  if (auto problem = CheckRules("", message, max_message_bytes)) {
    return *std::move(problem);
  }
  return result;
}

}  // namespace

std::variant<MessageBody, Problem> ParseBodyOfRequest(
    const Request& request, const std::string& channel,
    std::size_t max_message_bytes) {
  const auto types = FindHeaders(request.headers, "Content-Type");
  if (types.size() > 1) {
    return Problem{.detail = "Content-Type: may be there once",
                   .field = "Content-Type",
                   .value = std::string(types[1]),
                   .limit = 1};
  }
  const std::string_view type = types.empty() ? "" : types.front();
  return IsJson(type)
             ? ParseMessageBody(request.body, channel, max_message_bytes)
             : ParseData(request, type, channel, max_message_bytes);
}

std::variant<MessageBody, Problem> ParseMessageBody(
    std::string_view body, const std::string& channel,
    std::size_t max_message_bytes) {
  auto parsed = ParseJson(body);
  if (auto* problem = std::get_if<Problem>(&parsed)) return std::move(*problem);
  Json& json = std::get<Json>(parsed);
  MessageBody result{.is_array = json.is_array()};
  if (!json.is_object() && !json.is_array()) {
    return WrongType("body", json, "an object, or an array of objects");
  }
  const std::size_t count = result.is_array ? json.size() : 1;
  if (count == 0 || count > kMaxMessagesOfRequest) {
    return Problem{.detail = fmt::format("the body has {} messages, must have "
                                         "1 to {}",
                                         count, kMaxMessagesOfRequest),
                   .field = "body",
                   .value = count,
                   .limit = kMaxMessagesOfRequest};
  }
  for (std::size_t i = 0; i < count; ++i) {
    Json& one = result.is_array ? json[i] : json;
    const std::string place = result.is_array ? fmt::format("[{}]", i) : "";
    if (!one.is_object()) return WrongType(place, one, "an object");
    const std::string prefix = result.is_array ? place + "." : "";
    NewMessage& message = result.messages.emplace_back();
    message.channel = std::string(channel);  // not a view of it
    if (auto problem = TakeMessage(prefix, one, &message)) return *problem;
    if (auto problem = CheckRules(prefix, message, max_message_bytes)) {
      return *problem;
    }
  }
  return result;
}

std::variant<MessageBody, Problem> ParsePostboxBody(
    std::string_view body, std::size_t max_message_bytes) {
  auto parsed = ParseJson(body);
  if (auto* problem = std::get_if<Problem>(&parsed)) return std::move(*problem);
  Json& json = std::get<Json>(parsed);
  if (!json.is_object()) return WrongType("body", json, "an object");
  NewMessage message;
  for (const auto& [name, text] :
       {std::pair<const char*, Text*>("author", &message.author),
        std::pair<const char*, Text*>("text", &message.text)}) {
    const auto found = json.find(name);
    if (found == json.end()) {
      return Problem{.detail = fmt::format("{}: is missing", name),
                     .field = name};
    }
    if (auto problem = TakeString(name, *found, text)) return *problem;
  }
  if (auto problem = CheckRules("", message, max_message_bytes)) {
    return *problem;
  }
  MessageBody result;
  result.messages.push_back(std::move(message));
  return result;
}

}  // namespace messenger::app
