// Hands inputs to the target that --target=NAME names. A fuzzer's main()
// ignores options with two dashes.
#include "fuzz/targets.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace messenger::fuzz {
namespace {

struct Target {
  std::string_view name;
  void (*run)(Input input);
};

constexpr auto kTargets = std::to_array<Target>({
    {"channel_request", FuzzChannelRequest},
    {"checkpoint", FuzzCheckpoint},
    {"frame", FuzzFrame},
#ifdef MESSENGER_FUZZ_GATEWAY
    {"http_request", FuzzHttpRequest},
#endif
    {"journal_reader", FuzzJournalReader},
    {"log_directory", FuzzLogDirectory},
    {"read_request", FuzzReadRequest},
    {"receipts", FuzzReceipts},
    {"security_files", FuzzSecurityFiles},
    {"segment_reader", FuzzSegmentReader},
    {"send_request", FuzzSendRequest},
    {"status_details", FuzzStatusDetails},
});

const Target* target = nullptr;

const Target* FindTarget(std::string_view name) {
  const auto* const found =
      std::find_if(kTargets.begin(), kTargets.end(),
                   [name](const Target& t) { return t.name == name; });
  return found == kTargets.end() ? nullptr : found;
}

void PrintUsage() {
  std::fputs("messenger_fuzz: --target=NAME must be one of:", stderr);
  for (const Target& t : kTargets) {
    std::fprintf(stderr, " %.*s", static_cast<int>(t.name.size()),
                 t.name.data());
  }
  std::fputs("\n", stderr);
}

}  // namespace
}  // namespace messenger::fuzz

extern "C" int LLVMFuzzerInitialize(const int* argc, char*** argv) {
  constexpr std::string_view kOption = "--target=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (!argument.starts_with(kOption)) continue;
    messenger::fuzz::target =
        messenger::fuzz::FindTarget(argument.substr(kOption.size()));
  }
  if (messenger::fuzz::target != nullptr) return 0;
  messenger::fuzz::PrintUsage();
  std::_Exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  messenger::fuzz::target->run(messenger::fuzz::Input(data, size));
  return 0;
}
