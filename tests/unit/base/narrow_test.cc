#include "base/narrow.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "log/durable/checkpoint.h"
#include "support/faulty_file_system.h"
#include "wire/channels.h"
#include "wire/coding.h"
#include "wire/send.h"

namespace messenger::narrow_test {
namespace {

TEST_CASE("narrow: what fits is the same number") {
  CHECK(Narrow<std::uint32_t>(std::uint64_t{UINT32_MAX}) == UINT32_MAX);
  CHECK(Narrow<std::int8_t>(-128) == -128);
  CHECK(TryNarrow<std::uint8_t>(255) == 255);
  CHECK(TryNarrow<int>(std::size_t{INT32_MAX}) == INT32_MAX);
}

TEST_CASE("narrow: what does not fit is no number") {
  CHECK_FALSE(TryNarrow<std::uint32_t>(std::uint64_t{UINT32_MAX} + 1));
  CHECK_FALSE(TryNarrow<std::uint32_t>(-1));
  CHECK_FALSE(TryNarrow<std::int32_t>(std::uint32_t{UINT32_MAX}));
  CHECK_FALSE(TryNarrow<int>(std::numeric_limits<std::size_t>::max()));
}

TEST_CASE("narrow: what was known to fit and does not ends the program") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    close(STDERR_FILENO);
    static_cast<void>(Narrow<std::uint32_t>(std::uint64_t{UINT32_MAX} + 1));
    std::_Exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  const bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  CHECK(aborted);
}

TEST_CASE("narrow: numbers of a peer that do not fit are refused, not cut") {
  constexpr std::uint64_t kTooLarge = (std::uint64_t{1} << 32) + 1;
  std::string receipt;
  wire::AppendVarintField(receipt, 3, kTooLarge);
  std::string response;
  wire::AppendBytesField(response, 1, receipt);
  CHECK(absl::IsDataLoss(wire::ParseSendMessagesResponse(response).status()));
  std::string request;
  wire::AppendVarintField(request, 1, kTooLarge);
  CHECK(absl::IsInvalidArgument(
      wire::ParseListChannelsRequest(request).status()));
}

TEST_CASE("narrow: a channel that cannot be encoded fails its checkpoint") {
  test::FaultyFileSystem files;
  // What protobuf makes of more than it can parse.
  const EncodedChannels channels = {{"large", ""}};
  const absl::Status status =
      WriteCheckpoint(files, "/", {.epochs = {1}}, channels);
  CHECK(absl::IsResourceExhausted(status));
  CHECK(files.Files().empty());
}

}  // namespace
}  // namespace messenger::narrow_test
