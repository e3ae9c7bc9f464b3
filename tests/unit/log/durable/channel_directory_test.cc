#include "log/durable/channel_directory.h"

#include <doctest/doctest.h>

#include <cctype>
#include <cstddef>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "support/seed.h"
#include "wire/channel_name.h"

namespace messenger::channel_directory_test {
namespace {

using test::TestSeed;

constexpr std::string_view kAllowed =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

std::string ChannelOf(std::string_view name) {
  const auto parsed = ParseChannelDirectoryName(name);
  return parsed && !parsed->old ? parsed->channel : "none";
}

TEST_CASE("channel directory: capitals stand before the name") {
  CHECK(ChannelDirectoryName("orders") == "orders.channel");
  CHECK(ChannelDirectoryName("ORDERS") == "fc+orders.channel");
  CHECK(ChannelDirectoryName("Orders") == "8+orders.channel");
  CHECK(ChannelDirectoryName("orderS") == "04+orders.channel");
  CHECK(ChannelDirectoryName("a-B.c_9") == "2+a-b.c_9.channel");
  CHECK(ChannelDirectoryName("..") == "...channel");
  CHECK(ChannelDirectoryName("-") == "-.channel");
}

TEST_CASE("channel directory: no name is that of a device") {
  for (const std::string device :
       {"con", "prn", "aux", "nul", "com0", "com9", "lpt1"}) {
    CAPTURE(device);
    CHECK(ChannelDirectoryName(device) == "+" + device + ".channel");
    CHECK(ChannelDirectoryName(device + ".x") == "+" + device + ".x.channel");
    CHECK(ChannelDirectoryName("x." + device) == "x." + device + ".channel");
    CHECK(ChannelOf("+" + device + ".channel") == device);
    const auto old = ParseChannelDirectoryName(device + ".channel");
    REQUIRE(old);
    CHECK(old->channel == device);
    CHECK(old->old);
  }
  CHECK(ChannelDirectoryName("CON") == "e+con.channel");
  CHECK(ChannelDirectoryName("console") == "console.channel");
  CHECK(ChannelDirectoryName("com10") == "com10.channel");
  CHECK(ChannelDirectoryName("com") == "com.channel");
}

TEST_CASE("channel directory: names of version 1 are known for what they are") {
  const auto old = ParseChannelDirectoryName("Orders.channel");
  REQUIRE(old);
  CHECK(old->channel == "Orders");
  CHECK(old->old);
  CHECK(OldChannelDirectoryName("Orders") == "Orders.channel");
  CHECK(ChannelOf("orders.channel") == "orders");
}

TEST_CASE("channel directory: what names no channel is told from it") {
  for (const std::string_view name :
       {"", "x", ".channel", "+.channel", "x.Channel", "x.channel.bak",
        "fc+Orders.channel", "0+orders.channel", "80+orders.channel",
        "+orders.channel", "1+abc.channel", "8+1bc.channel", "F+abcd.channel",
        "8+8+abc.channel", "8+a b.channel", "a/b.channel", "g+abc.channel",
        "88+abc.channel"}) {
    CAPTURE(name);
    CHECK(!ParseChannelDirectoryName(name));
  }
  CHECK(!ParseChannelDirectoryName(
      std::string(wire::kMaxChannelNameSize + 1, 'a') + ".channel"));
}

TEST_CASE("channel directory: the longest names fit in 255 bytes") {
  constexpr std::size_t kMaxFileName = 255;
  std::string alternating;
  while (alternating.size() < wire::kMaxChannelNameSize) alternating += "aB";
  for (const std::string& channel :
       {std::string(wire::kMaxChannelNameSize, 'A'), alternating,
        std::string(wire::kMaxChannelNameSize, '.')}) {
    const std::string name = ChannelDirectoryName(channel);
    CHECK(name.size() <= kMaxFileName);
    CHECK(ChannelOf(name) == channel);
  }
  CHECK(ChannelDirectoryName(std::string(wire::kMaxChannelNameSize, 'A'))
            .size() == 169);
}

TEST_CASE("channel directory: names that differ by case alone are different") {
  std::set<std::string> names;
  constexpr unsigned kLetters = 10;
  for (unsigned bits = 0; bits < 1U << kLetters; ++bits) {
    std::string channel;
    for (unsigned i = 0; i < kLetters; ++i) {
      channel += static_cast<char>(((bits >> i & 1U) != 0 ? 'A' : 'a') + i);
    }
    const std::string name = ChannelDirectoryName(channel);
    names.insert(name);
    CHECK(ChannelOf(name) == channel);
  }
  CHECK(names.size() == 1U << kLetters);
}

TEST_CASE("channel directory: any name is safe, and says which channel") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  std::mt19937_64 random(TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    std::string channel;
    const std::size_t size = 1 + random() % (i % 100 == 0 ? 128 : 5);
    while (channel.size() < size) {
      channel += kAllowed[random() % kAllowed.size()];
    }
    CAPTURE(channel);
    const std::string name = ChannelDirectoryName(channel);
    CHECK(ChannelOf(name) == channel);
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-+") ==
          std::string::npos);
    const auto old = ParseChannelDirectoryName(channel + ".channel");
    REQUIRE(old);
    CHECK(old->channel == channel);
    CHECK(old->old == (name != channel + ".channel"));
  }
}

}  // namespace
}  // namespace messenger::channel_directory_test
