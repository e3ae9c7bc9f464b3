#include "log/idempotency_keys.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/printing.h"

namespace messenger::idempotency_keys_test {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using Time = IdempotencyKeys::SteadyTime;

constexpr Time kStart{hours(1000)};
constexpr std::chrono::nanoseconds kTimeout = hours(24);

IdempotencyKeys::Limits Limits(std::size_t max_keys = 1'000'000) {
  return {.max_keys = max_keys, .timeout = kTimeout};
}

IdempotencyKey KeyOf(std::string_view key, std::uint64_t sequence,
                     Time written = kStart) {
  return {.channel = "c",
          .key = std::string(key),
          .sequence = sequence,
          .send_time = {},
          .content = {},
          .written = written};
}

// Of the key's message; 0 if there is none.
std::uint64_t Find(IdempotencyKeys& keys, std::string_view key,
                   Time now = kStart, std::string_view channel = "c") {
  const IdempotencyKeys::Pointer found = keys.Find(channel, "", key, now);
  return found == nullptr ? 0 : found->sequence;
}

std::vector<std::string> NamesOf(const IdempotencyKeys::Snapshot& snapshot) {
  std::vector<std::string> names;
  snapshot.ForEach(
      [&](const IdempotencyKey& key) { names.push_back(key.key); });
  CHECK(names.size() == snapshot.size());
  return names;
}

TEST_CASE(
    "idempotency keys: what is prepared is found, and what is undone is "
    "not") {
  IdempotencyKeys keys(Limits());
  keys.Prepare(KeyOf("a", 1));
  CHECK(Find(keys, "a") == 1);
  CHECK(Find(keys, "b") == 0);
  CHECK(Find(keys, "a", kStart, "d") == 0);
  keys.Commit();
  keys.Prepare(KeyOf("b", 2));
  keys.Prepare(KeyOf("c", 3));
  keys.Undo();
  CHECK(Find(keys, "a") == 1);
  CHECK(Find(keys, "b") == 0);
  CHECK(keys.size() == 1);
  keys.Prepare(KeyOf("b", 4));
  keys.Commit();
  keys.Undo();
  CHECK(Find(keys, "b") == 4);
}

TEST_CASE("idempotency keys: each owner has keys of its own") {
  IdempotencyKeys keys(Limits(3));
  const auto key_of = [](std::string_view owner, std::uint64_t sequence) {
    IdempotencyKey key = KeyOf("a", sequence);
    key.owner = owner;
    return key;
  };
  const auto find = [&](std::string_view owner) {
    const auto found = keys.Find("c", owner, "a", kStart);
    return found == nullptr ? 0 : found->sequence;
  };
  keys.Prepare(key_of("", 1));
  keys.Prepare(key_of("ann", 2));
  keys.Commit();
  CHECK(find("bob") == 0);
  keys.Prepare(key_of("bob", 3));
  CHECK(find("bob") == 3);
  keys.Undo();
  CHECK(find("bob") == 0);
  keys.Restore(key_of("bob", 4));
  CHECK(find("") == 1);
  CHECK(find("ann") == 2);
  CHECK(find("bob") == 4);
  // Its owner is no part of the key, nor the other way round.
  CHECK(keys.Find("c", "a", "nn", kStart) == nullptr);
  // The oldest is forgotten alone.
  keys.Prepare(key_of("eve", 5));
  keys.Commit();
  CHECK(find("") == 0);
  CHECK(find("ann") == 2);
}

TEST_CASE(
    "idempotency keys: beyond the number, the oldest is forgotten once "
    "what follows is stored") {
  IdempotencyKeys keys(Limits(2));
  for (const char* key : {"a", "b"}) keys.Prepare(KeyOf(key, 1));
  keys.Commit();
  keys.Prepare(KeyOf("c", 3));
  CHECK(Find(keys, "a") == 1);
  keys.Undo();
  CHECK(Find(keys, "a") == 1);
  keys.Prepare(KeyOf("c", 3));
  keys.Commit();
  CHECK(Find(keys, "a") == 0);
  CHECK(Find(keys, "b") == 1);
  CHECK(Find(keys, "c") == 3);
  CHECK(keys.size() == 2);
}

TEST_CASE(
    "idempotency keys: what is too old is not found, and may come "
    "again") {
  IdempotencyKeys keys(Limits());
  keys.Prepare(KeyOf("a", 1));
  keys.Prepare(KeyOf("b", 2, kStart + hours(1)));
  keys.Commit();
  CHECK(Find(keys, "a", kStart + kTimeout) == 1);
  const Time later = kStart + kTimeout + seconds(1);
  CHECK(Find(keys, "a", later) == 0);
  CHECK(Find(keys, "b", later) == 2);
  keys.Prepare(KeyOf("a", 3, later));
  keys.Commit();
  CHECK(Find(keys, "a", later) == 3);
}

TEST_CASE(
    "idempotency keys: many that are too old at once are not found, "
    "though not all of them are forgotten at once") {
  IdempotencyKeys keys(Limits());
  constexpr std::uint64_t kCount = 10'000;
  for (std::uint64_t i = 1; i <= kCount; ++i) {
    keys.Prepare(KeyOf(std::to_string(i), i));
  }
  keys.Commit();
  const Time later = kStart + kTimeout + seconds(1);
  const std::string last = std::to_string(kCount);
  CHECK(Find(keys, last, later) == 0);
  CHECK(keys.size() > 0);
  // One that takes the place of an old one outlives it.
  keys.Prepare(KeyOf(last, kCount + 1, later));
  keys.Commit();
  while (keys.size() > 1) CHECK(Find(keys, "other", later) == 0);
  CHECK(Find(keys, last, later) == kCount + 1);
}

TEST_CASE(
    "idempotency keys: an undone one leaves no hole where all before it "
    "are forgotten") {
  IdempotencyKeys keys(Limits());
  keys.Prepare(KeyOf("a", 1));
  keys.Commit();
  const Time later = kStart + kTimeout + seconds(1);
  keys.Prepare(KeyOf("b", 2, later));
  CHECK(Find(keys, "a", later) == 0);
  keys.Undo();
  CHECK(keys.size() == 0);
  CHECK(NamesOf(keys.Save()).empty());
  keys.Prepare(KeyOf("c", 3, later));
  keys.Commit();
  CHECK(NamesOf(keys.Save()) == std::vector<std::string>{"c"});
}

TEST_CASE("idempotency keys: a snapshot stays as it is") {
  IdempotencyKeys keys(Limits(1000));
  std::vector<IdempotencyKeys::Snapshot> snapshots;
  std::vector<std::vector<std::string>> expected;
  std::vector<std::string> names;
  for (std::uint64_t i = 1; i <= 3000; ++i) {
    names.push_back(std::to_string(i));
    keys.Prepare(KeyOf(names.back(), i));
    keys.Commit();
    if (names.size() > 1000) names.erase(names.begin());
    if (i % 97 != 0) continue;
    snapshots.push_back(keys.Save());
    expected.push_back(names);
    keys.Prepare(KeyOf("undone", i));
    keys.Undo();
  }
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    CAPTURE(i);
    CHECK(NamesOf(snapshots[i]) == expected[i]);
  }
}

TEST_CASE("idempotency keys: what is restored is what was there") {
  IdempotencyKeys keys(Limits());
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    keys.Prepare(KeyOf(std::to_string(i), i));
  }
  keys.Commit();
  IdempotencyKeys restored(Limits(10));
  keys.Save().ForEach(
      [&](const IdempotencyKey& key) { restored.Restore(key); });
  CHECK(restored.size() == 10);
  CHECK(Find(restored, "990") == 0);
  CHECK(Find(restored, "991") == 991);
  CHECK(Find(restored, "1000") == 1000);
}

}  // namespace
}  // namespace messenger::idempotency_keys_test
