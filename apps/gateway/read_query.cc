#include "apps/gateway/read_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "apps/common/position.h"
#include "apps/common/time.h"

namespace messenger::app {
namespace {

constexpr std::string_view kLastEventId = "Last-Event-ID";

Problem Wrong(std::string_view field, const std::string& value,
              std::string_view wanted) {
  return {.detail = fmt::format("{}: must be {}", field, wanted),
          .field = std::string(field),
          .value = value,
          .limit = wanted};
}

std::optional<Problem> ParseAfter(std::string_view field,
                                  const std::string& text, Start* start) {
  const auto position = ParsePosition(text);
  if (!position) {
    return Wrong(field, text,
                 "a position, EPOCH:SEQUENCE, as of an event's id or of "
                 "'next'");
  }
  *start = Start::After(*position);
  return std::nullopt;
}

std::optional<Problem> ParseFrom(const std::string& text, Start* start) {
  const auto sequence = ParseNumber(text);
  if (text != "earliest" && (!sequence || *sequence == 0)) {
    return Wrong("from", text, "'earliest', or a sequence from 1 on");
  }
  *start = sequence ? Start::At(*sequence) : Start::Earliest();
  return std::nullopt;
}

std::optional<Problem> ParseSince(const std::string& text, Timestamp now,
                                  Start* start) {
  const auto time = ParseTime(text, now);
  if (!time) {
    return Wrong("since", text,
                 "a time, such as 2024-05-14T10:00:00Z, or how long ago it "
                 "was, such as 10m");
  }
  *start = Start::Since(*time);
  return std::nullopt;
}

std::optional<Problem> ParseStart(const QueryFields& fields, Timestamp now,
                                  Start* start) {
  std::string_view first;
  for (const std::string_view name : {"from", "since", "last", "after"}) {
    const auto value = fields.Find(name);
    if (!value) continue;
    if (!first.empty()) {
      return Problem{
          .detail = fmt::format("{} and {}: only one of them", first, name),
          .field = std::string(name),
          .value = *value};
    }
    first = name;
    std::optional<Problem> problem;
    if (name == "from") {
      problem = ParseFrom(*value, start);
    } else if (name == "since") {
      problem = ParseSince(*value, now, start);
    } else if (name == "after") {
      problem = ParseAfter(name, *value, start);
    } else {
      std::size_t count = 0;
      problem = fields.Number(name, 0, std::numeric_limits<std::size_t>::max(),
                              &count);
      *start = Start::Last(count);
    }
    if (problem) return problem;
  }
  return std::nullopt;
}

}  // namespace

std::variant<QueryFields, Problem> QueryFields::Make(const Target& target,
                                                     std::string_view known) {
  QueryFields fields;
  for (const auto& [name, value] : target.query) {
    const std::string word = " " + name + " ";
    if ((" " + std::string(known) + " ").find(word) == std::string::npos) {
      return Problem{
          .detail = fmt::format("{}: is not known; there are: {}", name, known),
          .field = name,
          .value = value,
          .limit = known};
    }
    if (fields.Find(name)) {
      return Problem{.detail = fmt::format("{}: may be there once", name),
                     .field = name,
                     .value = value,
                     .limit = 1};
    }
    fields.fields_.emplace_back(name, value);
  }
  return fields;
}

std::optional<std::string> QueryFields::Find(std::string_view name) const {
  const auto found =
      std::find_if(fields_.begin(), fields_.end(),
                   [name](const auto& field) { return field.first == name; });
  if (found == fields_.end()) return std::nullopt;
  return found->second;
}

std::optional<Problem> QueryFields::Number(std::string_view name,
                                           std::size_t least, std::size_t most,
                                           std::size_t* value) const {
  const auto text = Find(name);
  if (!text) return std::nullopt;
  const auto number = ParseNumber(*text);
  if (!number || *number < least || *number > most) {
    return Problem{.detail = fmt::format("{}: must be a number from {} to {}",
                                         name, least, most),
                   .field = std::string(name),
                   .value = *text,
                   .limit = most};
  }
  *value = *number;
  return std::nullopt;
}

std::variant<ReadQuery, Problem> ParsePageQuery(const Target& target,
                                                Timestamp now) {
  auto made = QueryFields::Make(target, "from since last after limit wait");
  if (auto* problem = std::get_if<Problem>(&made)) return std::move(*problem);
  const QueryFields& fields = std::get<QueryFields>(made);
  ReadQuery query;
  if (auto problem = fields.Number("limit", 1, kMaxPage, &query.limit)) {
    return *problem;
  }
  std::size_t seconds = 0;
  if (auto problem = fields.Number("wait", 0, kMaxWait.count(), &seconds)) {
    return *problem;
  }
  query.wait = std::chrono::seconds(seconds);
  query.start = Start::Last(query.limit);
  if (auto problem = ParseStart(fields, now, &query.start)) return *problem;
  return query;
}

std::variant<ReadQuery, Problem> ParseStreamQuery(const Request& request,
                                                  Timestamp now) {
  auto made = QueryFields::Make(request.target, "from since last after");
  if (auto* problem = std::get_if<Problem>(&made)) return std::move(*problem);
  ReadQuery query;
  if (auto problem =
          ParseStart(std::get<QueryFields>(made), now, &query.start)) {
    return *problem;
  }
  const auto last_id = FindHeader(request.headers, kLastEventId);
  if (last_id && !last_id->empty()) {
    if (auto problem =
            ParseAfter(kLastEventId, std::string(*last_id), &query.start)) {
      return *problem;
    }
  }
  return query;
}

}  // namespace messenger::app
