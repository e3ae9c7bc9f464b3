#include "conditions.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string_view>
#include <thread>

namespace messenger::bench {
namespace {

constexpr std::string_view kBuildType = MESSENGER_BENCH_BUILD_TYPE;

std::string CpuModel() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

std::string Kernel() {
  utsname name{};
  if (uname(&name) != 0) return "unknown";
  return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

// A busy machine shows here.
std::string LoadAverage() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? fmt::format("{:.2f}", load) : "unknown";
}

std::string Compiler() {
#if defined(__clang__)
  return "clang " __VERSION__;
#else
  return "g++ " __VERSION__;
#endif
}

std::string BuildType() {
  return fmt::format("{}{}", kBuildType.empty() ? "none" : kBuildType,
                     IsOptimised() ? "" : " (NOT FOR MEASURING)");
}

}  // namespace

bool IsOptimised() {
#if defined(NDEBUG) && defined(__OPTIMIZE__)
  return kBuildType == "Release" || kBuildType == "RelWithDebInfo";
#else
  return false;
#endif
}

Conditions GatherConditions() {
  return {
      {"date", fmt::format("{:%F %T} UTC", fmt::gmtime(std::time(nullptr)))},
      {"CPU", CpuModel()},
      {"cores", fmt::format("{}", std::thread::hardware_concurrency())},
      {"load average, 1 min", LoadAverage()},
      {"kernel", Kernel()},
      {"compiler", Compiler()},
      {"build type", BuildType()},
      {"gRPC", grpc::Version()},
      {"protobuf",
       google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)},
  };
}

Conditions GatherConditions(const Options& options) {
  Conditions conditions = GatherConditions();
  const Conditions asked = {
      {"lock checks", options.lock_checks ? "on" : "off"},
      {"transport", "TCP loopback, no TLS"},
      {"server",
       options.server.empty() ? "child process, log memory:" : options.server},
      {"text", fmt::format("{} bytes", options.text_bytes)},
      {"timed cases", fmt::format("{} s", options.seconds)},
  };
  conditions.insert(conditions.end(), asked.begin(), asked.end());
  return conditions;
}

}  // namespace messenger::bench
