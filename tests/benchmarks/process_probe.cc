#include "process_probe.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace messenger::bench {
namespace {

// That the loopback has taken so far; 0 if that is not known.
double LoopbackBytes() {
  std::ifstream devices("/proc/net/dev");
  std::string name;
  double bytes = 0;
  while (devices >> name) {
    if (name == "lo:") devices >> bytes;
  }
  return bytes;
}

}  // namespace

std::optional<double> ProcessProbe::CpuSeconds() const {
  // The clock behind utime and stime of /proc/PID/stat, not rounded to ticks.
  clockid_t clock{};
  timespec time{};
  if (!pid_ || clock_getcpuclockid(*pid_, &clock) != 0 ||
      clock_gettime(clock, &time) != 0) {
    return std::nullopt;
  }
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_nsec) / 1e9;
}

std::optional<double> ProcessProbe::ResidentBytes() const {
  if (!pid_) return std::nullopt;
  std::ifstream statm(fmt::format("/proc/{}/statm", *pid_));
  std::int64_t size = 0;
  std::int64_t resident = 0;
  if (!(statm >> size >> resident)) return std::nullopt;
  return static_cast<double>(resident) *
         static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::optional<std::size_t> ProcessProbe::OpenFiles() const {
  return Count("fd");
}

std::optional<std::size_t> ProcessProbe::Threads() const {
  return Count("task");
}

std::optional<std::size_t> ProcessProbe::Count(const char* what) const {
  if (!pid_) return std::nullopt;
  std::error_code error;
  const std::filesystem::directory_iterator entries(
      fmt::format("/proc/{}/{}", *pid_, what), error);
  if (error) return std::nullopt;
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

std::optional<double> CpuMeter::Seconds() const {
  const std::optional<double> now = probe_.CpuSeconds();
  if (!now || !start_) return std::nullopt;
  return *now - *start_;
}

WorkMeter::WorkMeter(const ProcessProbe& server)
    : server_(server),
      self_(getpid()),
      client_(self_),
      bytes_(LoopbackBytes()) {}

void WorkMeter::AddTo(Case* row) const {
  const double bytes = LoopbackBytes() - bytes_;
  const auto server = server_.Seconds();
  const auto client = client_.Seconds();
  if (!server || !client || bytes <= 0) return;
  row->Add("CPU/MB", "ms", (*server + *client) / bytes * 1e9);
}

void AddServerCores(std::optional<double> cpu_seconds, double elapsed,
                    Case* row) {
  if (cpu_seconds) row->Add("server CPU", "cores", *cpu_seconds / elapsed);
}

}  // namespace messenger::bench
