// Which pages may talk to the gateway.
//
// It takes any Content-Type, as the original did, so that a browser asks no
// leave before it sends somebody else's page's request; and what the server
// gives to everybody, or to whoever has signed in, a browser asks for without a
// password. What stands between a page and the messages is where the page is
// from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/gateway/http.h"
#include "apps/gateway/problem.h"

namespace messenger::app {

class OriginGuard {
 public:
  // `hosts`: names, without a port, by which the gateway may be called beside
  // localhost and addresses. `origins`: pages of these may use it:
  // "https://chat.example".
  OriginGuard(std::vector<std::string> hosts, std::vector<std::string> origins);

  // Why the request is refused. Nothing if it is not: it was made by a program
  // (which sends neither Origin nor Sec-Fetch-Site), by a page of this gateway,
  // or by one that may; or somebody has followed a link to the page.
  std::optional<Problem> Check(const Request& request) const;

  // What lets a page of another origin read the answer; empty unless it may.
  Headers CorsHeaders(const Headers& request) const;

 private:
  bool IsAllowedHost(std::string_view host) const;
  bool IsAllowedOrigin(std::string_view origin) const;

  const std::vector<std::string> hosts_;
  const std::vector<std::string> origins_;
};

// Whether a page of this gateway has sent it, or no page at all: only then do
// cookies count, which browsers add whoever made them send a request.
bool IsOfOwnPage(const Request& request);

// What is wrong with an origin or a host of the command line; empty if nothing.
std::string CheckOriginOption(const std::string& origin);
std::string CheckHostOption(const std::string& host);

}  // namespace messenger::app
