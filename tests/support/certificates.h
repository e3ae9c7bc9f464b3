// Certificates of any kind, also of kinds that nobody should have.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace messenger::test {

// PEM.
struct IssuedCertificate {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  std::string common_name = {};
  // "DNS:localhost", "IP:127.0.0.1", "URI:…".
  std::vector<std::string> names = {};
  // From now on.
  std::chrono::seconds valid_from = std::chrono::hours(-1);
  std::chrono::seconds valid_until = std::chrono::hours(1);
  // Of an RSA key; 0: a key on P-256.
  unsigned rsa_bits = 0;
  // Of the signature: "SHA256", "MD5".
  const char* digest = "SHA256";
};

// A certificate authority. Throws std::runtime_error if OpenSSL cannot.
class TestAuthority {
 public:
  explicit TestAuthority(
      const std::string& name, unsigned rsa_bits = 0,
      std::chrono::seconds valid_until = std::chrono::hours(24));
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  const std::string& certificate() const { return certificate_; }
  std::string key() const;
  IssuedCertificate Issue(const CertificateRequest& request) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  std::string certificate_;
};

// A certificate that no CA has issued.
IssuedCertificate SelfSigned(const CertificateRequest& request);

// Writes a file as an operator's tool does: beside, and renamed.
void ReplaceFile(const std::string& path, const std::string& contents);

// Files of certificates, as server and client take them.
struct CertificateFiles {
  std::string certificate;
  std::string key;
};
CertificateFiles WriteFiles(const TemporaryDirectory& directory,
                            const std::string& name,
                            const IssuedCertificate& issued);

}  // namespace messenger::test
