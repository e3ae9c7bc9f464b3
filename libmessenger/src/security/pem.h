// What is in PEM files, as OpenSSL reads them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

// A certificate with those that lead to a CA, and its key.
struct CertificateAndKey {
  std::string certificate;
  std::string key;
};

// INVALID_ARGUMENT unless the first certificate in `pem.certificate` is that of
// the key in `pem.key`, what follows are certificates, and OpenSSL uses them
// for TLS: says what is wrong with them, and what to do.
absl::Status CheckPair(const CertificateAndKey& pem);

// INVALID_ARGUMENT unless there are certificates in it.
absl::Status CheckAuthorities(std::string_view pem);

// When the first certificate in `pem` begins and ceases to be valid.
struct Validity {
  Timestamp from;
  Timestamp until;
};
absl::StatusOr<Validity> ValidityOf(std::string_view pem);

// The DNS names and IP addresses in the first certificate in `pem`.
absl::StatusOr<std::vector<std::string>> NamesIn(std::string_view pem);

// Verifies servers by their certificates, as OpenSSL does: the chain up to an
// authority, dates, purpose, and the name.
//
// Thread safety: const members may be called from any thread.
class ServerVerifier {
 public:
  // `authorities` are PEM. `name` is the name or the IP address that must be in
  // the certificate. INVALID_ARGUMENT if there are no authorities.
  static absl::StatusOr<ServerVerifier> Create(const std::string& authorities,
                                               std::string name);

  // UNAUTHENTICATED says what is wrong with the certificate that a server has
  // shown, with those that lead to an authority, as PEM.
  absl::Status Verify(std::string_view chain) const;

 private:
  explicit ServerVerifier(std::shared_ptr<void> store, std::string name)
      : store_(std::move(store)), name_(std::move(name)) {}

  std::shared_ptr<void> store_;  // an X509_STORE
  std::string name_;
};

// "2026-11-29T20:00:00Z".
std::string TextOf(Timestamp time);

}  // namespace messenger
