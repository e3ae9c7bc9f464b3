#include "support.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>

namespace messenger::bench {
namespace {

std::string UniqueName(std::string_view scenario) {
  std::random_device random;
  return fmt::format("bench-{}-{:08x}", scenario, random());
}

}  // namespace

void Check(const absl::Status& status, std::string_view what) {
  if (!status.ok()) {
    throw std::runtime_error(fmt::format("{}: {}", what, status.ToString()));
  }
}

void Check(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  Check(file.is_open(), "cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Clock::duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(seconds));
}

std::string MakeText(std::size_t bytes) {
  constexpr std::string_view kPattern = "The quick brown fox jumps over it. ";
  std::string text;
  text.reserve(bytes);
  while (text.size() < bytes) {
    text += kPattern.substr(0, bytes - text.size());
  }
  return text;
}

ScratchChannel::ScratchChannel(const Setting& setting,
                               std::string_view scenario)
    : client_(Client::Connect({.target = setting.target})),
      name_(UniqueName(scenario)) {}

ScratchChannel::~ScratchChannel() {
  // If it fails, the server is gone or the channel never came to be.
  static_cast<void>(client_.DeleteChannel(name_));
}

ChannelInfo ScratchChannel::Info() {
  return Value(client_.GetChannel(name_), name_);
}

}  // namespace messenger::bench
