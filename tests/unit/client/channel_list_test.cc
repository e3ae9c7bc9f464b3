// What a client believes of a server's channels.
#include "client/channel_list.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "base/status.h"

namespace messenger::channel_list_test {
namespace {

v1::Channel Some(const std::string& name) {
  v1::Channel channel;
  channel.set_name(name);
  channel.set_epoch(7);
  channel.set_first_sequence(1);
  channel.set_head(3);
  return channel;
}

v1::ListChannelsResponse Page(const std::vector<std::string>& names,
                              const std::string& token = "") {
  v1::ListChannelsResponse page;
  for (const std::string& name : names) *page.add_channels() = Some(name);
  page.set_next_page_token(token);
  return page;
}

TEST_CASE("channel list: pages are gathered") {
  ChannelList list;
  CHECK(list.Add(Page({"a", "b"}, "b")) == absl::OkStatus());
  CHECK(list.Add(Page({"c"})) == absl::OkStatus());
  CHECK(list.size() == 3);
  CHECK(list.Take()[2].name == "c");
  CHECK(ChannelList().Add(Page({})) == absl::OkStatus());
}

TEST_CASE("channel list: a page that leads nowhere is refused") {
  ChannelList list;
  REQUIRE(list.Add(Page({"b"}, "b")).ok());
  // The same page again, one before it, one that is out of order, and none.
  CHECK(absl::IsDataLoss(list.Add(Page({"b"}, "b"))));
  CHECK(absl::IsDataLoss(list.Add(Page({"a"}, "b"))));
  CHECK(absl::IsDataLoss(list.Add(Page({"d", "c"}))));
  CHECK(absl::IsDataLoss(ChannelList().Add(Page({}, "again"))));
}

TEST_CASE("channel list: there is a bound for channels") {
  ChannelList list;
  v1::ListChannelsResponse page = Page({""});
  std::uint64_t number = 1'000'000'000;
  for (std::size_t i = 0; i < ChannelList::kMaxChannels; ++i) {
    page.mutable_channels(0)->set_name(std::to_string(number++));
    REQUIRE(list.Add(page).ok());
  }
  page.mutable_channels(0)->set_name(std::to_string(number));
  CHECK(absl::IsResourceExhausted(list.Add(page)));
}

TEST_CASE("channel list: a channel that cannot be is refused") {
  CHECK(ToInfo(Some("a")).ok());
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string(129, 'a'),
        std::string("\x1b[31m"), std::string("a\0b", 3)}) {
    CHECK(absl::IsDataLoss(ToInfo(Some(name)).status()));
  }
  v1::Channel channel = Some("a");
  channel.set_epoch(0);
  CHECK(absl::IsDataLoss(ToInfo(channel).status()));
  for (const auto& [first, head, ok] :
       {std::tuple(std::uint64_t{0}, std::uint64_t{3}, false),
        std::tuple(std::uint64_t{5}, std::uint64_t{3}, false),
        std::tuple(std::uint64_t{4}, std::uint64_t{3}, true),
        std::tuple(std::uint64_t{1}, std::uint64_t{0}, true),
        std::tuple(std::uint64_t{1}, UINT64_MAX, false),
        std::tuple(UINT64_MAX, std::uint64_t{0}, false)}) {
    channel = Some("a");
    channel.set_first_sequence(first);
    channel.set_head(head);
    CHECK(ToInfo(channel).ok() == ok);
  }
}

}  // namespace
}  // namespace messenger::channel_list_test
