// What a request to read asks for, in its query.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "apps/gateway/http.h"
#include "apps/gateway/problem.h"
#include "messenger/message.h"

namespace messenger::app {

inline constexpr std::size_t kDefaultPage = 100;
inline constexpr std::size_t kMaxPage = 1000;
inline constexpr std::chrono::seconds kMaxWait{60};

struct ReadQuery {
  Start start = {};
  std::size_t limit = kDefaultPage;
  std::chrono::seconds wait{0};
};

// One page: from, since, last or after (by default the last `limit`), limit and
// wait.
std::variant<ReadQuery, Problem> ParsePageQuery(const Target& target,
                                                Timestamp now);

// A stream: from, since, last or after (by default what comes from now on). A
// Last-Event-ID overrules them: a browser that comes back sends the same URL.
std::variant<ReadQuery, Problem> ParseStreamQuery(const Request& request,
                                                  Timestamp now);

// The values of these fields, which may each be there once, and no others.
class QueryFields {
 public:
  static std::variant<QueryFields, Problem> Make(const Target& target,
                                                 std::string_view known);

  std::optional<std::string> Find(std::string_view name) const;

  // A whole number within bounds, or `value` as it was.
  std::optional<Problem> Number(std::string_view name, std::size_t least,
                                std::size_t most, std::size_t* value) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace messenger::app
