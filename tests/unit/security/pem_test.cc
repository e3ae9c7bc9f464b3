// What is in PEM files (security/pem.h).
#include "security/pem.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "support/certificates.h"
#include "support/printing.h"

namespace messenger::pem_test {
namespace {

using test::CertificateRequest;
using test::Contains;
using test::IssuedCertificate;
using test::TestAuthority;

std::string Refusal(const IssuedCertificate& pair) {
  const absl::Status s =
      CheckPair({.certificate = pair.certificate, .key = pair.key});
  CHECK((s.ok() || absl::IsInvalidArgument(s)));
  return std::string(MessageOf(s));
}

TEST_CASE("pem: a pair that TLS can use is valid") {
  const TestAuthority authority("authority");
  CHECK(Refusal(authority.Issue({.names = {"DNS:a"}})).empty());
  CHECK(Refusal(authority.Issue({.rsa_bits = 2048})).empty());
  // With the CA behind it.
  IssuedCertificate with_ca = authority.Issue({});
  with_ca.certificate += authority.certificate();
  CHECK(Refusal(with_ca).empty());
}

TEST_CASE("pem: a key that TLS takes for too small is refused") {
  const TestAuthority authority("authority");
  const std::string refusal = Refusal(authority.Issue({.rsa_bits = 1024}));
  CHECK(Contains(refusal, "its key is too small (RSA, 1024 bits)"));
  CHECK(Contains(refusal, "2048 bits or more"));
}

TEST_CASE("pem: a signature that TLS takes for too weak is refused") {
  const TestAuthority authority("authority", /*rsa_bits=*/2048);
  for (const char* const digest : {"MD5", "SHA1"}) {
    CAPTURE(digest);
    const std::string refusal = Refusal(authority.Issue({.digest = digest}));
    CHECK(Contains(refusal, "TLS refuses the certificate"));
    CHECK(Contains(refusal, "have it signed with SHA-256"));
  }
}

TEST_CASE("pem: what leads to the CA has to be as strong") {
  const TestAuthority authority("authority");
  IssuedCertificate pair = authority.Issue({});
  pair.certificate += authority.Issue({.rsa_bits = 1024}).certificate;
  CHECK(
      Contains(Refusal(pair),
               "TLS refuses certificate 2 in it, since its key is too small"));
}

TEST_CASE("pem: a pair is of one certificate and its key") {
  const TestAuthority authority("authority");
  IssuedCertificate pair = authority.Issue({});
  pair.key = authority.Issue({}).key;
  CHECK(Refusal(pair) == "the private key is not that of the certificate");
  pair.key = "nonsense";
  CHECK(Contains(Refusal(pair), "there is no private key in it"));
}

TEST_CASE("pem: the names of a certificate are those that it is for") {
  const TestAuthority authority("authority");
  const auto names = [&](const CertificateRequest& request) {
    return NamesIn(authority.Issue(request).certificate).value();
  };
  using Names = std::vector<std::string>;
  CHECK(names({.names = {"DNS:*.example", "IP:127.0.0.1", "URI:a:b",
                         "IP:::1"}}) == Names{"*.example", "127.0.0.1", "::1"});
  CHECK(names({.common_name = "a"}).empty());
  CHECK(absl::IsInvalidArgument(NamesIn("nonsense").status()));
}

}  // namespace
}  // namespace messenger::pem_test
