// In whose name a request is made: the bearer token that comes with it.
//
// Programs send it as "Authorization: Bearer TOKEN". A page cannot do so for
// its event stream and its images, so that it signs in: then the token is in a
// cookie that no script can read, and that browsers send only with what the
// gateway's own pages ask for.
#pragma once

#include <string>
#include <variant>

#include "apps/gateway/http.h"
#include "apps/gateway/problem.h"

namespace messenger::app {

struct Credential {
  // Empty: the request has none, and is made in the gateway's own name.
  std::string token = {};
  bool is_cookie = false;
};

// The problem is 401: what is there cannot be a token, or cannot be told. It is
// never taken for none. Other schemes than Bearer are not for the gateway: a
// proxy before it may have passwords of its own. The cookie of a page of
// another origin does not count. The header overrules the cookie.
std::variant<Credential, Problem> CredentialOf(const Request& request);

// The same of one of them.
std::variant<Credential, Problem> CredentialOfHeader(const Request& request);
std::variant<Credential, Problem> CredentialOfCookie(const Request& request);

// Whether a header can have it: what no token has need not be asked for.
bool CanBeToken(std::string_view token);

// The header that makes the browser keep the token, for a week; and those that
// make it forget all that it has been given.
Header KeepToken(const Request& request, std::string_view token);
Headers ForgetToken(const Request& request);

}  // namespace messenger::app
