#include "apps/server/handshake_notices.h"

#include <fmt/format.h>
#include <grpc/support/log.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "messenger/printable.h"

namespace messenger::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kInterval{1};
constexpr std::size_t kMaxReasons = 50;

// What OpenSSL calls it, and what an operator can make of it.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8>
    kMeanings = {{
        {"peer did not return a certificate",
         "the client has shown no certificate"},
        {"certificate verify failed",
         "the client's certificate comes from no CA in --tls-client-ca, or is "
         "not "
         "valid now"},
        {"unsupported protocol", "the client knows nothing newer than TLS 1.1"},
        {"no shared cipher",
         "the client knows no cipher that this server uses"},
        {"tlsv1 alert unknown ca",
         "the client does not trust the CA of this server's certificate"},
        {"sslv3 alert bad certificate",
         "the client does not accept this server's certificate"},
        {"sslv3 alert certificate unknown",
         "the client does not accept this server's certificate"},
        {"sslv3 alert certificate expired",
         "this server's certificate has expired, says the client"},
    }};

class Notices {
 public:
  void Begin(std::function<void(std::string_view)> on_notice) {
    const std::lock_guard lock(mutex_);
    on_notice_ = std::move(on_notice);
  }
  void End() { Begin(nullptr); }

  void Tell(std::string_view reason) {
    const std::lock_guard lock(mutex_);
    if (!on_notice_) return;
    const Clock::time_point now = Clock::now();
    if (reasons_.size() >= kMaxReasons) reasons_.clear();
    Reason& known = reasons_[std::string(reason)];
    if (now < known.next) {
      ++known.untold;
      return;
    }
    const std::uint64_t untold = std::exchange(known.untold, 0);
    known.next = now + kInterval;
    on_notice_(fmt::format(
        "refused a connection: TLS handshake: {}{}", Printable(Meaning(reason)),
        untold == 0 ? "" : fmt::format(" ({} times more)", untold)));
  }

 private:
  struct Reason {
    Clock::time_point next;
    std::uint64_t untold = 0;
  };

  static std::string_view Meaning(std::string_view reason) {
    for (const auto& [known, meaning] : kMeanings) {
      if (reason == known) return meaning;
    }
    return reason;
  }

  std::mutex mutex_;
  std::function<void(std::string_view)> on_notice_;
  std::map<std::string, Reason> reasons_;
};

// Never destroyed: gRPC's threads may outlive main.
Notices& TheNotices() {
  static auto* const notices = new Notices;
  return *notices;
}

// "Handshake failed with fatal error SSL_ERROR_SSL: error:0A0000C7:SSL
// routines::peer did not return a certificate."
void OnLog(gpr_log_func_args* args) {
  std::string_view message = args->message;
  if (!message.starts_with("Handshake failed")) return;
  constexpr std::string_view kRoutines = "routines::";
  const std::size_t routines = message.find(kRoutines);
  if (routines != std::string_view::npos) {
    message.remove_prefix(routines + kRoutines.size());
  }
  if (message.ends_with('.')) message.remove_suffix(1);
  TheNotices().Tell(message);
}

bool WantsLogOfGrpc() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets variables any more
  const char* const verbosity = std::getenv("GRPC_VERBOSITY");
  return verbosity == nullptr || std::string_view(verbosity) != "NONE";
}

}  // namespace

HandshakeNotices::HandshakeNotices(
    std::function<void(std::string_view)> on_notice) {
  if (WantsLogOfGrpc()) return;
  TheNotices().Begin(std::move(on_notice));
  gpr_set_log_function(&OnLog);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
}

HandshakeNotices::~HandshakeNotices() {
  TheNotices().End();
}

}  // namespace messenger::app
