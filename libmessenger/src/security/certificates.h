// A small CA, and certificates by it, by OpenSSL.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "messenger/security_tools.h"
#include "security/pem.h"

namespace messenger {

struct Certificates {
  CertificateAndKey ca;
  CertificateAndKey server;
  CertificateAndKey client;
};

// FAILED_PRECONDITION if the CA has expired; INVALID_ARGUMENT if it is none.
absl::Status CheckCa(const CertificateAndKey& ca);

// One that `ca` signs, which CheckCa has found good, and a key for it. As
// MakeCertificates.
absl::StatusOr<CertificateAndKey> MakeServerCertificate(
    const CertificateAndKey& ca, const std::vector<std::string>& names,
    std::chrono::hours validity);
absl::StatusOr<CertificateAndKey> MakeClientCertificate(
    const CertificateAndKey& ca, const std::string& identity,
    std::chrono::hours validity);

// As InitTls, without its files. INVALID_ARGUMENT names an option that is out
// of bounds; INTERNAL says what OpenSSL could not do.
absl::StatusOr<Certificates> MakeCertificates(const InitTlsOptions& options);

}  // namespace messenger
