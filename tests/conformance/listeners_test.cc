// Who hears of appends.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"

namespace messenger::test {
namespace {

LOG_TEST_CASE(
    "log: when an append is announced, every reader before it is behind") {
  LogUnderTest t(kind);
  t.Append({"a", "b"});
  std::vector<std::unique_ptr<LogReader>> readers;
  for (const Start& start :
       {Start::Earliest(), Start::NewOnly(), Start::At(3), Start::Last(1)}) {
    readers.push_back(t.Open(start));
    ReadToHead{*readers.back()};
  }
  const auto elsewhere = t.Open(Start::Earliest(), false, "elsewhere");
  Read(*elsewhere);
  for (const auto& reader : readers) CHECK_FALSE(reader->Behind());

  std::atomic<int> behind{0};
  Listener listener([&](std::string_view channel) {
    if (channel != "c") return;
    for (const auto& reader : readers) behind += reader->Behind() ? 1 : 0;
  });
  t.log->AddListener(&listener);
  t.Append({"c"});
  CHECK(listener.WaitForAppends("c", 1));
  t.log->RemoveListener(&listener);

  CHECK(behind == static_cast<int>(readers.size()));
  CHECK_FALSE(elsewhere->Behind());
  for (const auto& reader : readers) {
    CHECK(reader->Behind());
    CHECK(ReadToHead(*reader).texts() == Texts{"c"});
    CHECK_FALSE(reader->Behind());
  }
}

LOG_TEST_CASE(
    "log: the first message of a channel is announced to those who wait for "
    "it") {
  LogUnderTest t(kind);
  const auto reader = t.Open(Start::NewOnly());
  Read(*reader);
  std::atomic<bool> behind{false};
  Listener listener([&](std::string_view) { behind = reader->Behind(); });
  t.log->AddListener(&listener);
  t.Append({"a"});
  CHECK(listener.WaitForAppends("c", 1));
  t.log->RemoveListener(&listener);
  CHECK(behind);
}

LOG_TEST_CASE("log: every listener hears of every channel") {
  LogUnderTest t(kind);
  Listener first;
  Listener second;
  t.log->AddListener(&first);
  t.log->AddListener(&second);
  t.Append({"a"}, "one");
  t.Append({"b"}, "two");
  for (Listener* const listener : {&first, &second}) {
    CHECK(listener->WaitForAppends("one", 1));
    CHECK(listener->WaitForAppends("two", 1));
  }
  t.log->RemoveListener(&first);
  const std::uint64_t heard = first.total();
  t.Append({"c"}, "one");
  CHECK(second.WaitForAppends("one", 2));
  t.log->RemoveListener(&second);
  CHECK(first.total() == heard);
}

LOG_TEST_CASE("log: a listener is not running when its removal has returned") {
  LogUnderTest t(kind);
  std::mutex mutex;
  std::condition_variable changed;
  bool inside = false;
  std::atomic<bool> removing{false};
  std::atomic<bool> left{false};
  Listener listener([&](std::string_view) {
    {
      const std::lock_guard lock(mutex);
      inside = true;
      changed.notify_all();
    }
    const auto deadline = std::chrono::steady_clock::now() + kLogDeadline;
    while (!removing && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    // Time for a removal that does not wait to get ahead.
    const auto moment =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    while (std::chrono::steady_clock::now() < moment) {
      std::this_thread::yield();
    }
    left = true;
  });
  t.log->AddListener(&listener);
  std::thread appender([&t] {
    t.log->Append(BatchOf("c", Texts{"a"}), [](const AppendResult&) {});
  });
  {
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, kLogDeadline, [&] { return inside; }));
  }
  removing = true;
  t.log->RemoveListener(&listener);
  CHECK(left);
  appender.join();
}

LOG_TEST_CASE("log: a retry announces nothing and leaves no reader behind") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(1), 1, {"a"});
  const auto reader = t.Open(Start::Earliest());
  static_cast<void>(ReadToHead(*reader));
  t.AppendAs(Producer(1), 1, {"a"});
  CHECK_FALSE(reader->Behind());
  CHECK(Read(*reader).count == 0);
}

}  // namespace
}  // namespace messenger::test
