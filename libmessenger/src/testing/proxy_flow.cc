#include "testing/proxy_flow.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

namespace messenger::testing {
namespace {

// What the header promises.
constexpr std::size_t kMaxBytes = std::size_t{256} << 10U;
constexpr std::size_t kReadBytes = std::size_t{64} << 10U;

// With a limit on bytes per second, at most as many at once as may pass in this
// part of a second: they come in a stream, and not in gulps.
constexpr std::uint64_t kGulpsPerSecond = 100;

bool IsTemporary(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// At once.
std::size_t MostToWrite(const FlowFaults& faults) {
  std::size_t most = std::numeric_limits<std::size_t>::max();
  if (faults.max_fragment_bytes > 0) most = faults.max_fragment_bytes;
  if (faults.bytes_per_second > 0) {
    most = std::min<std::size_t>(
        most,
        std::max<std::uint64_t>(1, faults.bytes_per_second / kGulpsPerSecond));
  }
  return most;
}

}  // namespace

bool Flow::WantsToRead(const FlowFaults& faults) const {
  return !faults.stalled && !ended_ && bytes_ + kReadBytes <= kMaxBytes;
}

bool Flow::Read(const Fd& source, Clock::time_point now,
                const FlowFaults& faults) {
  // Bounded, so that one connection does not hold up the others.
  while (WantsToRead(faults)) {
    std::array<char, kReadBytes> buffer;
    const ssize_t got = recv(source.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) {
      return IsTemporary(errno);
    }
    if (got == 0) {
      ended_ = true;
      end_due_ = now + faults.delay;
      break;
    }
    const auto size = static_cast<std::size_t>(got);
    bytes_ += size;
    chunks_.push_back(
        {.due = now + faults.delay, .bytes = std::string(buffer.data(), size)});
    if (size < buffer.size()) break;
  }
  return true;
}

std::optional<Clock::time_point> Flow::NextWrite(
    const FlowFaults& faults) const {
  if (faults.stalled) return std::nullopt;
  if (HasEndToWrite()) return end_due_;
  if (chunks_.empty()) return std::nullopt;
  if (faults.bytes_per_second == 0) return chunks_.front().due;
  return std::max(chunks_.front().due, next_write_);
}

bool Flow::WantsToWrite(Clock::time_point now, const FlowFaults& faults) const {
  const auto next = NextWrite(faults);
  return next && *next <= now;
}

bool Flow::Write(const Fd& sink, Clock::time_point now,
                 const FlowFaults& faults, std::uint64_t* passed) {
  const std::size_t most = MostToWrite(faults);
  while (WantsToWrite(now, faults)) {
    if (HasEndToWrite()) {
      shutdown(sink.get(), SHUT_WR);
      finished_ = true;
      break;
    }
    Chunk& chunk = chunks_.front();
    const std::size_t size = std::min(chunk.bytes.size() - chunk.written, most);
    const ssize_t sent = send(sink.get(), chunk.bytes.data() + chunk.written,
                              size, MSG_NOSIGNAL);
    if (sent < 0) {
      return IsTemporary(errno);
    }
    const auto written = static_cast<std::size_t>(sent);
    *passed += written;
    bytes_ -= written;
    chunk.written += written;
    if (chunk.written == chunk.bytes.size()) chunks_.pop_front();
    if (faults.bytes_per_second > 0) {
      const std::chrono::duration<double> takes(
          static_cast<double>(written) /
          static_cast<double>(faults.bytes_per_second));
      next_write_ = std::max(now, next_write_) +
                    std::chrono::duration_cast<Clock::duration>(takes);
    }
    // Others have their turn, and the peer a moment to read this piece.
    if (most != std::numeric_limits<std::size_t>::max()) break;
  }
  return true;
}

}  // namespace messenger::testing
