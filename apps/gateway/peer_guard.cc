#include "apps/gateway/peer_guard.h"

#include <fmt/format.h>

#include <cstddef>

#include "apps/gateway/problem.h"

namespace messenger::app {
namespace {

// Strangers must not fill the memory, nor stderr.
constexpr std::size_t kMostNoted = 1000;

constexpr std::string_view kHowToGoOn =
    "this gateway is protected: without TLS it serves its own machine only. "
    "Start it with a certificate (--https-cert and --https-key), or with "
    "--insecure where the whole network is trusted";

// What watches over it may be on another machine, and learns nothing else.
bool IsHealth(const Request& request) {
  return request.target.path == "/healthz" || request.target.path == "/readyz";
}

// A person in front of a browser should be able to read it.
bool IsForPerson(const Request& request) {
  const auto accept = FindHeader(request.headers, "Accept");
  return accept && accept->find("text/html") != std::string_view::npos;
}

}  // namespace

std::optional<Response> PeerGuard::Check(const Request& request) {
  const Peer& peer = request.peer;
  if (insecure_ || peer.is_local || peer.is_encrypted || IsHealth(request)) {
    return std::nullopt;
  }
  Note(peer.address);
  if (IsForPerson(request)) {
    return Response{.status = 403,
                    .content_type = "text/plain; charset=utf-8",
                    .body = std::string(kHowToGoOn) + "\n"};
  }
  return ToResponse({.status = 403, .detail = std::string(kHowToGoOn)});
}

void PeerGuard::Note(const std::string& address) {
  bool is_last = false;
  {
    absl::MutexLock lock(&mu_);
    if (noted_.size() >= kMostNoted || !noted_.insert(address).second) return;
    is_last = noted_.size() == kMostNoted;
  }
  on_notice_(fmt::format(
      "refused {}: without TLS, only this machine is served; see --help, Who "
      "may use it{}",
      address,
      is_last ? "; others that are refused are not told any more" : ""));
}

}  // namespace messenger::app
