// What waits for the commit thread (log/durable/request_queue.h).
#include "log/durable/request_queue.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace messenger::request_queue_test {
namespace {

constexpr std::size_t kKiB = 1024;

// The channel is a name by which it is known again.
AppendRequest RequestOf(const std::shared_ptr<AppenderState>& appender,
                        std::uint64_t source, const std::string& name,
                        std::size_t size) {
  return {.appender = appender,
          .batch = {.channel = name,
                    .backing = std::make_shared<int>(),
                    .source = source},
          .size = size};
}

std::vector<std::string> NamesOf(const std::vector<LogRequest>& requests) {
  std::vector<std::string> names;
  for (const LogRequest& request : requests) {
    if (const auto* const append = std::get_if<AppendRequest>(&request)) {
      names.push_back(append->cancelled ? "cancelled" : append->batch.channel);
    } else {
      names.push_back("delete " + std::get<DeleteRequest>(request).channel);
    }
  }
  return names;
}

TEST_CASE("request queue: a source keeps its order, deletions included") {
  RequestQueue queue;
  const auto appender = std::make_shared<AppenderState>();
  CHECK(queue.empty());
  queue.Push(RequestOf(appender, 0, "a", 1));
  queue.Push(DeleteRequest{.channel = "b"});
  queue.Push(RequestOf(appender, 0, "c", 1));
  CHECK(!queue.empty());
  CHECK(NamesOf(queue.Take(100)) ==
        std::vector<std::string>{"a", "delete b", "c"});
  CHECK(queue.empty());
}

TEST_CASE("request queue: sources take turns, and a round has an end") {
  RequestQueue queue;
  const auto greedy = std::make_shared<AppenderState>();
  const auto modest = std::make_shared<AppenderState>();
  for (const char* const name : {"g1", "g2", "g3", "g4", "g5"}) {
    queue.Push(RequestOf(greedy, 7, name, 256 * kKiB));
  }
  queue.Push(RequestOf(modest, 9, "m1", 10));
  queue.Push(RequestOf(modest, 9, "m2", 10));
  CHECK(NamesOf(queue.Take(600 * kKiB)) ==
        std::vector<std::string>{"g1", "m1", "m2", "g2", "g3"});
  CHECK(NamesOf(queue.Take(1)) == std::vector<std::string>{"g4"});
  CHECK(NamesOf(queue.Take(1)) == std::vector<std::string>{"g5"});
  CHECK(queue.Take(1).empty());
}

TEST_CASE("request queue: a round takes one request, however large") {
  RequestQueue queue;
  const auto appender = std::make_shared<AppenderState>();
  queue.Push(RequestOf(appender, 1, "a", 1000 * kKiB));
  queue.Push(RequestOf(appender, 1, "b", 1000 * kKiB));
  CHECK(NamesOf(queue.Take(10)) == std::vector<std::string>{"a"});
}

TEST_CASE(
    "request queue: what is cancelled gives its memory back, and keeps its "
    "place") {
  RequestQueue queue;
  const auto gone = std::make_shared<AppenderState>();
  const auto other = std::make_shared<AppenderState>();
  AppendRequest request = RequestOf(gone, 3, "gone", 1000 * kKiB);
  const std::weak_ptr<const void> memory = request.batch.backing;
  queue.Push(std::move(request));
  queue.Push(RequestOf(other, 3, "other", 10));
  {
    const std::vector<AppendBatch> freed = queue.Cancel(gone.get());
    CHECK(freed.size() == 1);
  }
  CHECK(memory.expired());
  // Also what comes later: the appender is gone.
  queue.Push(RequestOf(gone, 3, "late", 10));
  CHECK(NamesOf(queue.Take(11)) ==
        std::vector<std::string>{"cancelled", "other", "cancelled"});
}

}  // namespace
}  // namespace messenger::request_queue_test
