// A server in a process of its own, whose memory, descriptors and processor
// time are the server's alone.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace messenger::test {

// Its value is for RunServerChild.
inline constexpr const char* kServerChildVariable =
    "MESSENGER_TEST_SERVER_CHILD";

// The main program of such a process, which is this test program with the
// variable set: serves a memory log on a free port, which it prints, until its
// standard input ends.
int RunServerChild();

struct ServerChildOptions {
  std::uint64_t retention_bytes = std::uint64_t{1} << 30;
  std::size_t max_frame_bytes = std::size_t{1} << 20;
};

class ServerChild {
 public:
  explicit ServerChild(ServerChildOptions options = {});
  // Ends the process, and waits until it has shut down.
  ~ServerChild();
  ServerChild(const ServerChild&) = delete;
  ServerChild& operator=(const ServerChild&) = delete;

  int port() const { return port_; }

  std::size_t ResidentBytes() const;
  // The most it ever was.
  std::size_t PeakResidentBytes() const;
  std::size_t OpenDescriptors() const;
  // Processor time that it has used, in the kernel's ticks.
  std::uint64_t CpuTicks() const;

 private:
  std::string ProcPath(const char* name) const;

  pid_t pid_ = -1;
  int stdin_ = -1;
  int stdout_ = -1;
  int port_ = 0;
};

}  // namespace messenger::test
