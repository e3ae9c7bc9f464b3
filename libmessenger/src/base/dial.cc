#include "base/dial.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/narrow.h"
#include "base/status.h"

namespace messenger {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* first) const { freeaddrinfo(first); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// UNAVAILABLE if there are none.
absl::StatusOr<Addresses> LookUp(const Address& address, int flags) {
  addrinfo hints = {};
  hints.ai_flags = flags | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(),
                  &hints, &first);
  if (error == 0) return Addresses(first);
  return absl::UnavailableError(
      fmt::format("{}: {}", address.host, gai_strerror(error)));
}

// What a thread leaves for who waits for it.
struct Answer {
  absl::Mutex mu;
  CondVar changed;
  std::optional<absl::StatusOr<Addresses>> found ABSL_GUARDED_BY(mu);
};

// The system has no way to look up a name with a limit.
absl::StatusOr<Addresses> LookUpUntil(const Address& address,
                                      Deadline deadline) {
  if (IsNumericHost(address.host)) return LookUp(address, AI_NUMERICHOST);
  const auto answer = std::make_shared<Answer>();
  std::thread([answer, address] {
    auto found = LookUp(address, 0);
    absl::MutexLock lock(&answer->mu);
    answer->found = std::move(found);
    answer->changed.Signal();
  }).detach();
  absl::MutexLock lock(&answer->mu);
  while (!answer->found) {
    if (!answer->changed.WaitUntil(&answer->mu, deadline)) break;
  }
  if (answer->found) return *std::move(answer->found);
  return absl::DeadlineExceededError(
      fmt::format("{}: the name is not found in time", address.host));
}

absl::StatusOr<Descriptor> ConnectSocket(const addrinfo& to,
                                         Deadline deadline) {
  Descriptor fd(
      socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int error = fd.valid() ? 0 : errno;
  if (error == 0 && connect(fd.get(), to.ai_addr, to.ai_addrlen) == -1) {
    error = errno;
  }
  if (error == EINPROGRESS) {
    socklen_t size = sizeof error;
    const bool in_time = AwaitSocket(fd.get(), POLLOUT, deadline);
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (!in_time) error = ETIMEDOUT;
  }
  if (error == 0) return fd;
  const std::string text = std::generic_category().message(error);
  return error == ETIMEDOUT ? absl::DeadlineExceededError(text)
                            : absl::UnavailableError(text);
}

}  // namespace

absl::StatusOr<Descriptor> Dial(const std::vector<Address>& addresses,
                                Deadline deadline) {
  absl::Status failure = absl::UnavailableError("there is no address");
  for (const Address& address : addresses) {
    const auto found = LookUpUntil(address, deadline);
    if (!found.ok()) failure = found.status();
    const addrinfo* next = found.ok() ? found->get() : nullptr;
    for (; next != nullptr; next = next->ai_next) {
      // One that is silent leaves time for the others.
      const bool is_last =
          next->ai_next == nullptr && &address == &addresses.back();
      const auto now = CondVar::Clock::now();
      auto fd =
          ConnectSocket(*next, is_last ? deadline : now + (deadline - now) / 2);
      if (fd.ok()) return fd;
      failure = WithPath(fd.status(), address.ToString());
    }
  }
  return failure;
}

bool AwaitSocket(int fd, decltype(pollfd::events) events, Deadline deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - CondVar::Clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting = {.fd = fd, .events = events, .revents = 0};
    const auto most = std::min<std::int64_t>(left.count(), INT32_MAX);
    const int ready = poll(&waiting, 1, Narrow<int>(most));
    // What is wrong, the next call tells.
    if (ready > 0 || (ready == -1 && errno != EINTR)) return true;
  }
}

bool IsNumericHost(const std::string& host) {
  return LookUp({.host = host, .port = 1}, AI_NUMERICHOST).ok();
}

}  // namespace messenger
