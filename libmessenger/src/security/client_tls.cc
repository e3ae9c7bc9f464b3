#include "security/client_tls.h"

#include <fmt/format.h>
#include <openssl/x509.h>

#include <chrono>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/target.h"
#include "security/files.h"

namespace messenger {
namespace {

// Where the CAs are that the system trusts.
std::string SystemAuthorities() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): as OpenSSL does
  const char* const file = std::getenv(X509_get_default_cert_file_env());
  return file == nullptr ? X509_get_default_cert_file() : file;
}

absl::StatusOr<CertificateAndKey> ReadPair(const ClientTls& tls) {
  CertificateAndKey pair;
  if (tls.certificate_file.empty()) return pair;
  auto certificate =
      ReadOptionFile("tls.certificate_file", tls.certificate_file);
  if (!certificate.ok()) return certificate.status();
  auto key = ReadOptionFile("tls.private_key_file", tls.private_key_file);
  if (!key.ok()) return key.status();
  pair = {.certificate = *std::move(certificate), .key = *std::move(key)};
  if (absl::Status s = CheckPair(pair); !s.ok()) {
    return WithPath(s, fmt::format("tls.certificate_file, "
                                   "tls.private_key_file: {}, {}",
                                   tls.certificate_file, tls.private_key_file));
  }
  const auto validity = ValidityOf(pair.certificate);
  if (!validity.ok()) return validity.status();
  const auto now = std::chrono::system_clock::now();
  if (now < validity->from || now > validity->until) {
    return absl::InvalidArgumentError(fmt::format(
        "tls.certificate_file: {} {} {}", tls.certificate_file,
        now < validity->from ? "is not valid before" : "has expired on",
        TextOf(now < validity->from ? validity->from : validity->until)));
  }
  return pair;
}

}  // namespace

absl::StatusOr<ClientTlsFiles> ReadFiles(const ClientTls& tls) {
  ClientTlsFiles files = {.authorities_file = tls.ca_file.empty()
                                                  ? SystemAuthorities()
                                                  : tls.ca_file};
  auto authorities = ReadOptionFile("tls.ca_file", files.authorities_file);
  if (!authorities.ok()) return authorities.status();
  files.authorities = *std::move(authorities);
  auto pair = ReadPair(tls);
  if (!pair.ok()) return pair.status();
  files.own = *std::move(pair);
  return files;
}

std::string ExpectedName(const ClientTls& tls, std::string_view target) {
  if (!tls.server_name.empty()) return tls.server_name;
  const std::vector<std::string> hosts = HostsOf(target);
  return hosts.size() == 1 ? hosts.front() : std::string();
}

}  // namespace messenger
