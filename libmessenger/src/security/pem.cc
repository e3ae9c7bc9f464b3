#include "security/pem.h"

#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <memory>
#include <vector>

#include "base/narrow.h"
#include "security/openssl.h"

namespace messenger {
namespace {

MemoryBio Reader(std::string_view pem) {
  return MemoryBio(BIO_new_mem_buf(pem.data(), Narrow<int>(pem.size())));
}

// A password cannot be asked for here.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/,
               void* /*data*/) {
  return -1;
}

// All there are, in order.
absl::StatusOr<std::vector<Certificate>> CertificatesIn(std::string_view pem) {
  const MemoryBio reader = Reader(pem);
  std::vector<Certificate> certificates;
  for (;;) {
    Certificate next(
        PEM_read_bio_X509(reader.get(), nullptr, NoPassword, nullptr));
    if (!next) break;
    certificates.push_back(std::move(next));
  }
  const auto error = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return absl::InvalidArgumentError(
        fmt::format("certificate {} is malformed", certificates.size() + 1));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(
        "there is no certificate in it (-----BEGIN CERTIFICATE-----)");
  }
  return certificates;
}

Timestamp ToTimestamp(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  const std::int64_t seconds = timegm(&parts);
  // Beyond what a Timestamp can say: the end of time.
  constexpr std::int64_t kMost = INT64_MAX / 1'000'000'000;
  return Timestamp(std::chrono::seconds(std::clamp(seconds, -kMost, kMost)));
}

void FreeStack(STACK_OF(X509) * stack) {
  sk_X509_free(stack);
}

// The names and addresses for which a certificate is.
std::vector<std::string> NamesOf(const X509* certificate) {
  std::vector<std::string> names;
  auto* const all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(all, i);
    if (name->type == GEN_DNS) {
      names.emplace_back(
          reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
          Narrow<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      const ASN1_OCTET_STRING* const ip = name->d.iPAddress;
      const int size = ASN1_STRING_length(ip);
      if (size != 4 && size != 16) continue;
      std::array<char, INET6_ADDRSTRLEN> address{};
      inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip),
                address.data(), address.size());
      names.emplace_back(address.data());
    }
  }
  GENERAL_NAMES_free(all);
  return names;
}

// The same for people.
std::string NameList(const X509* certificate) {
  const std::vector<std::string> names = NamesOf(certificate);
  return names.empty() ? "no name" : fmt::format("{}", fmt::join(names, ", "));
}

std::string NameText(const X509_NAME* name) {
  const MemoryBio text(BIO_new(BIO_s_mem()));
  // UTF-8 as it is.
  constexpr auto kForm = XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB;
  if (text == nullptr || X509_NAME_print_ex(text.get(), name, 0, kForm) < 0) {
    return {};
  }
  char* data = nullptr;
  const auto size = BIO_get_mem_data(text.get(), &data);
  return {data, Narrow<std::size_t>(size)};
}

// What X509_verify_cert has found of a server's chain.
struct Finding {
  int error = 0;
  int depth = 0;                // 0: of the server's own certificate
  const X509* found = nullptr;  // may be null
  const X509* own = nullptr;
};

std::string Explain(const Finding& finding, const std::string& name) {
  const X509* const wrong =
      finding.found == nullptr ? finding.own : finding.found;
  const std::string whose =
      finding.depth == 0
          ? "the server's certificate"
          : fmt::format("\"{}\", which leads to the server's certificate,",
                        NameText(X509_get_subject_name(wrong)));
  switch (finding.error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("{} has expired on {}", whose,
                         TextOf(ToTimestamp(X509_get0_notAfter(wrong))));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("{} is not valid before {}", whose,
                         TextOf(ToTimestamp(X509_get0_notBefore(wrong))));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format("the server's certificate is for {}, and not for {}",
                         NameList(finding.own), name);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "the server's certificate is self-signed, and none that is "
             "trusted here";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fmt::format(
          "the server's certificate comes from no CA that is trusted here: "
          "\"{}\" is one, but that one has another key",
          NameText(X509_get_issuer_name(wrong)));
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return fmt::format(
          "the server's certificate comes from no CA that is trusted here, but "
          "from \"{}\"",
          NameText(X509_get_issuer_name(wrong)));
    default:
      return fmt::format("{} is not valid ({})", whose,
                         X509_verify_cert_error_string(finding.error));
  }
}

// ---- What TLS takes

std::string KeyText(EVP_PKEY* key) {
  const char* const kind =
      key == nullptr ? nullptr : EVP_PKEY_get0_type_name(key);
  if (kind == nullptr) return "of a kind that OpenSSL does not know";
  return fmt::format("{}, {} bits", kind, EVP_PKEY_get_bits(key));
}

std::string SignatureText(const X509* certificate) {
  const char* const name = OBJ_nid2ln(X509_get_signature_nid(certificate));
  return name == nullptr ? "an unknown algorithm" : name;
}

// Why OpenSSL has refused `certificate`, and what to do.
absl::Status ExplainRefusal(const X509* certificate, std::string_view which) {
  const auto error = ERR_peek_last_error();
  const char* const text = ERR_reason_error_string(error);
  const int reason = ERR_GET_REASON(error);
  ERR_clear_error();
  switch (reason) {
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
      return absl::InvalidArgumentError(fmt::format(
          "TLS refuses {}, since its key is too small ({}): make a new key, "
          "RSA with 2048 bits or more, or P-256, and a certificate for it",
          which, KeyText(X509_get0_pubkey(certificate))));
    case SSL_R_CA_MD_TOO_WEAK:
      return absl::InvalidArgumentError(fmt::format(
          "TLS refuses {}, since its signature is too weak ({}): have it "
          "signed with SHA-256",
          which, SignatureText(certificate)));
    default:
      return absl::InvalidArgumentError(
          fmt::format("TLS refuses {} ({}): use one with an RSA or P-256 key",
                      which, text == nullptr ? "unknown reason" : text));
  }
}

// Gives the pair to OpenSSL as gRPC does for a connection. What is refused here
// would only be found out by the first one, and all would be refused.
absl::Status CheckUse(const std::vector<Certificate>& certificates,
                      EVP_PKEY* key) {
  const std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>> context(
      SSL_CTX_new(TLS_method()));
  if (!context) {
    ERR_clear_error();
    return absl::InternalError("OpenSSL cannot set up TLS");
  }
  X509* const own = certificates.front().get();
  if (SSL_CTX_use_certificate(context.get(), own) != 1) {
    return ExplainRefusal(own, "the certificate");
  }
  for (std::size_t i = 1; i < certificates.size(); ++i) {
    // Unlike gRPC's SSL_CTX_add_extra_chain_cert, it checks at once what the
    // handshake would.
    X509* const next = certificates[i].get();
    if (SSL_CTX_add1_chain_cert(context.get(), next) != 1) {
      return ExplainRefusal(next, fmt::format("certificate {} in it", i + 1));
    }
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return ExplainRefusal(own, "the private key");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPair(const CertificateAndKey& pem) {
  const auto certificates = CertificatesIn(pem.certificate);
  if (!certificates.ok()) return certificates.status();
  const MemoryBio reader = Reader(pem.key);
  const PrivateKey key(
      PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (!key) {
    return absl::InvalidArgumentError(
        "there is no private key in it that needs no password");
  }
  const bool fits =
      X509_check_private_key(certificates->front().get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) {
    return absl::InvalidArgumentError(
        "the private key is not that of the certificate");
  }
  return CheckUse(*certificates, key.get());
}

absl::Status CheckAuthorities(std::string_view pem) {
  return CertificatesIn(pem).status();
}

absl::StatusOr<Validity> ValidityOf(std::string_view pem) {
  const auto certificates = CertificatesIn(pem);
  if (!certificates.ok()) return certificates.status();
  const X509* const first = certificates->front().get();
  return Validity{.from = ToTimestamp(X509_get0_notBefore(first)),
                  .until = ToTimestamp(X509_get0_notAfter(first))};
}

absl::StatusOr<std::vector<std::string>> NamesIn(std::string_view pem) {
  const auto certificates = CertificatesIn(pem);
  if (!certificates.ok()) return certificates.status();
  return NamesOf(certificates->front().get());
}

absl::StatusOr<ServerVerifier> ServerVerifier::Create(
    const std::string& authorities, std::string name) {
  const std::shared_ptr<X509_STORE> store(X509_STORE_new(), X509_STORE_free);
  const auto certificates = CertificatesIn(authorities);
  if (!certificates.ok()) return certificates.status();
  for (const Certificate& certificate : *certificates) {
    X509_STORE_add_cert(store.get(), certificate.get());
  }
  ERR_clear_error();
  return ServerVerifier(store, std::move(name));
}

absl::Status ServerVerifier::Verify(std::string_view chain) const {
  auto certificates = CertificatesIn(chain);
  if (!certificates.ok()) {
    return absl::UnauthenticatedError("the server has shown no certificate");
  }
  const std::unique_ptr<STACK_OF(X509), FreeBy<FreeStack>> others(
      sk_X509_new_null());
  for (const Certificate& certificate : *certificates) {
    sk_X509_push(others.get(), certificate.get());
  }
  X509* const own = certificates->front().get();
  const std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX_free>> context(
      X509_STORE_CTX_new());
  X509_VERIFY_PARAM* param = nullptr;
  const bool is_ready =
      context &&
      X509_STORE_CTX_init(context.get(), static_cast<X509_STORE*>(store_.get()),
                          own, others.get()) == 1 &&
      X509_STORE_CTX_set_default(context.get(), "ssl_server") == 1 &&
      (param = X509_STORE_CTX_get0_param(context.get())) != nullptr &&
      (X509_VERIFY_PARAM_set1_ip_asc(param, name_.c_str()) == 1 ||
       X509_VERIFY_PARAM_set1_host(param, name_.data(), name_.size()) == 1);
  if (!is_ready) {
    ERR_clear_error();
    return absl::InternalError("the server's certificate cannot be verified");
  }
  X509_VERIFY_PARAM_set_hostflags(param,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  // 112 bits: no MD5, no SHA-1, no RSA below 2048 bits.
  X509_VERIFY_PARAM_set_auth_level(param, 2);
  const bool is_valid = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (is_valid && error == X509_V_OK) return absl::OkStatus();
  return absl::UnauthenticatedError(
      Explain({.error = error,
               .depth = X509_STORE_CTX_get_error_depth(context.get()),
               .found = X509_STORE_CTX_get_current_cert(context.get()),
               .own = own},
              name_));
}

std::string TextOf(Timestamp time) {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::floor<std::chrono::seconds>(time)));
}

}  // namespace messenger
