// What a process costs.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>

#include "report.h"

namespace messenger::bench {

// Looks at a process. Without one, nothing is known.
class ProcessProbe {
 public:
  explicit ProcessProbe(std::optional<pid_t> pid) : pid_(pid) {}

  // CPU time of all its threads so far, in seconds.
  std::optional<double> CpuSeconds() const;
  // Resident memory now.
  std::optional<double> ResidentBytes() const;
  // File descriptors, sockets included.
  std::optional<std::size_t> OpenFiles() const;
  std::optional<std::size_t> Threads() const;

 private:
  // How many there are of what /proc lists.
  std::optional<std::size_t> Count(const char* what) const;

  std::optional<pid_t> pid_;
};

// CPU time between two moments.
class CpuMeter {
 public:
  explicit CpuMeter(const ProcessProbe& probe)
      : probe_(probe), start_(probe.CpuSeconds()) {}

  // Since construction.
  std::optional<double> Seconds() const;

 private:
  const ProcessProbe& probe_;
  std::optional<double> start_;
};

// What a server and this process, its client, do for what goes over the
// loopback, between two moments. Nothing else should use that.
class WorkMeter {
 public:
  explicit WorkMeter(const ProcessProbe& server);

  // Adds the CPU time of both for each MB, if it is known.
  void AddTo(Case* row) const;

 private:
  const CpuMeter server_;
  const ProcessProbe self_;
  const CpuMeter client_;
  const double bytes_;
};

// Adds how many cores the server kept busy, if that is known.
void AddServerCores(std::optional<double> cpu_seconds, double elapsed,
                    Case* row);

}  // namespace messenger::bench
