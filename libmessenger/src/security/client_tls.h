// What a client's ClientTls says, and its files.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "messenger/security.h"
#include "security/pem.h"

namespace messenger {

struct ClientTlsFiles {
  std::string authorities_file;  // also if it is the system's
  std::string authorities;
  CertificateAndKey own;  // empty: none
};

// INVALID_ARGUMENT names the option, the file and what is wrong with it: also
// if the client's certificate is not valid now. Blocks.
absl::StatusOr<ClientTlsFiles> ReadFiles(const ClientTls& tls);

// The name that must be in the server's certificate; empty if it has to be
// said. `target` is what ParseTarget has returned.
std::string ExpectedName(const ClientTls& tls, std::string_view target);

}  // namespace messenger
