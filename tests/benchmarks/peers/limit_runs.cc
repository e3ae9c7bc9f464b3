// What the machine can do, with nothing of ours or anybody's in the way.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#include "bare_client.h"
#include "disk.h"
#include "peers/runs.h"
#include "percentiles.h"
#include "process_probe.h"
#include "support.h"

namespace messenger::bench {
namespace {

void CheckCall(bool ok, const char* what) {
  if (!ok) throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

// Bytes through a TCP connection over loopback, from one thread to another.
Case RunTcpCopy(const RunOptions& options) {
  constexpr std::size_t kBytes = std::size_t{256} << 10;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  CheckCall(bind(listener, any, size) == 0 && listen(listener, 1) == 0 &&
                getsockname(listener, any, &size) == 0,
            "listen");
  const int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CheckCall(connect(to, any, size) == 0, "connect");
  const int from = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  CheckCall(from >= 0, "accept");
  std::uint64_t received = 0;
  std::thread reader([&] {
    std::vector<char> buffer(kBytes);
    for (ssize_t got = 0;
         (got = recv(from, buffer.data(), buffer.size(), 0)) > 0;) {
      received += static_cast<std::uint64_t>(got);
    }
  });
  const std::vector<char> buffer(kBytes, 'x');
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(options.seconds);
  while (Clock::now() < end) {
    CheckCall(send(to, buffer.data(), buffer.size(), MSG_NOSIGNAL) > 0, "send");
  }
  shutdown(to, SHUT_WR);
  reader.join();
  const double elapsed = SecondsSince(start);
  for (const int fd : {listener, to, from}) close(fd);
  Case row;
  row.Add("volume", "MB/s", static_cast<double>(received) / elapsed / 1e6);
  return row;
}

// Preformed frames of a gRPC server without a log, to readers that only count.
Case RunBareStream(const RunOptions& options) {
  constexpr std::size_t kFrameBytes = std::size_t{1} << 20;
  const ProcessProbe server(options.server_pid);
  const WorkMeter work(server);
  const BareFanOut result = MeasureBareFanOut(
      options.server.address, server, static_cast<int>(options.readers),
      static_cast<int>(options.connections), {.frame_bytes = kFrameBytes},
      options.seconds, CredentialsFor(options.server));
  Case row;
  row.Add("volume", "MB/s", result.bytes / result.seconds / 1e6);
  work.AddTo(&row);
  return row;
}

// One small write and fdatasync after the other.
Case RunDiskSync(const RunOptions& options) {
  SyncedFile file(options.directory + "/synced");
  const std::string bytes(options.text_bytes + 128, 'x');
  std::vector<std::chrono::nanoseconds> samples;
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(options.seconds);
  while (Clock::now() < end) {
    const Clock::time_point begin = Clock::now();
    file.Append(bytes);
    samples.push_back(Clock::now() - begin);
  }
  Case row;
  row.Add("calls", "/s",
          static_cast<double>(samples.size()) / SecondsSince(start));
  AddPercentiles(std::move(samples), &row);
  return row;
}

}  // namespace messenger::bench
