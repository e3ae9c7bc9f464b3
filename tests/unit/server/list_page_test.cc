// Pages of lists that are mostly hidden.
#include "server/list_page.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "support/printing.h"

namespace messenger::list_page_test {
namespace {

using Page = ListPage<int>;
using Deliver = std::function<void(Page::Done, Page::Infos)>;

// The numbers from 1 to `last`, in pieces of this size, of which those that
// `is_visible` says may be seen.
Page::Infos Get(int last, std::size_t piece, std::size_t size,
                std::function<bool(int)> is_visible, const Deliver& deliver) {
  absl::Notification done;
  Page::Infos page;
  Page::Get({.size = size,
             .fetch =
                 [&](const int* from, std::size_t max, Page::Done give) {
                   std::vector<int> numbers;
                   for (int i = from == nullptr ? 1 : *from + 1;
                        i <= last && numbers.size() < max; ++i) {
                     numbers.push_back(i);
                   }
                   deliver(std::move(give), std::move(numbers));
                 },
             .is_visible = std::move(is_visible),
             .piece = piece},
            [&](Page::Infos infos) {
              page = std::move(infos);
              done.Notify();
            });
  done.WaitForNotification();
  return page;
}

void AtOnce(Page::Done give, Page::Infos infos) {
  give(std::move(infos));
}

TEST_CASE("list page: what is hidden leaves no gap") {
  const auto is_even = [](int i) { return i % 2 == 0; };
  CHECK(Get(10, 3, 3, is_even, AtOnce).value() == std::vector{2, 4, 6});
  CHECK(Get(10, 3, 5, is_even, AtOnce).value() == std::vector{2, 4, 6, 8, 10});
  CHECK(Get(10, 3, 6, is_even, AtOnce).value() == std::vector{2, 4, 6, 8, 10});
  CHECK(Get(0, 3, 3, is_even, AtOnce).value().empty());
}

TEST_CASE("list page: calls do not nest, however much is hidden") {
  constexpr int kLast = 300'000;
  const auto is_last = [](int i) { return i == kLast; };
  CHECK(Get(kLast, 1, 1, is_last, AtOnce).value() == std::vector{kLast});
}

TEST_CASE("list page: pieces may come later, on other threads") {
  constexpr int kLast = 2'000;
  const auto is_last = [](int i) { return i == kLast; };
  absl::Mutex mu;
  std::vector<std::thread> threads;
  const Deliver later = [&](Page::Done give, Page::Infos infos) {
    // The thread that began the last one may still be here when that is done.
    absl::MutexLock lock(&mu);
    threads.emplace_back(
        [give = std::move(give), infos = std::move(infos)]() mutable {
          give(std::move(infos));
        });
  };
  CHECK(Get(kLast, 1, 2, is_last, later).value() == std::vector{kLast});
  std::vector<std::thread> begun;
  {
    absl::MutexLock lock(&mu);
    begun.swap(threads);
  }
  for (std::thread& thread : begun) thread.join();
}

TEST_CASE("list page: a piece that cannot be had ends it") {
  int pieces = 0;
  const Deliver fails = [&](Page::Done give, Page::Infos infos) {
    give(++pieces == 3 ? Page::Infos(absl::UnavailableError("closed"))
                       : std::move(infos));
  };
  const auto none = [](int /*i*/) { return false; };
  CHECK(absl::IsUnavailable(Get(10, 1, 1, none, fails).status()));
  CHECK(pieces == 3);
}

}  // namespace
}  // namespace messenger::list_page_test
