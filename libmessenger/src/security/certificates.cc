#include "security/certificates.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/narrow.h"
#include "base/status.h"
#include "base/utf8.h"
#include "security/fields.h"
#include "security/openssl.h"
#include "security/rights.h"

namespace messenger {
namespace {

// So that a clock that is behind by less takes them already.
constexpr std::chrono::minutes kClockSkew{5};
constexpr std::chrono::hours kLongestValidity = std::chrono::hours(24) * 36525;
constexpr int kSerialBits = 128;
// Of X.509, in characters.
constexpr std::size_t kMaxCommonName = 64;
constexpr std::size_t kMaxDnsNameSize = 253;
constexpr std::size_t kMaxLabelSize = 63;

using BigNumber = std::unique_ptr<BIGNUM, FreeBy<BN_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>>;
using GeneralName = std::unique_ptr<GENERAL_NAME, FreeBy<GENERAL_NAME_free>>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, FreeBy<GENERAL_NAMES_free>>;
using OctetString =
    std::unique_ptr<ASN1_OCTET_STRING, FreeBy<ASN1_OCTET_STRING_free>>;
using Ia5String = std::unique_ptr<ASN1_IA5STRING, FreeBy<ASN1_IA5STRING_free>>;

absl::Status OpenSslError(std::string_view what) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return absl::InternalError(fmt::format("OpenSSL cannot {}{}{}", what,
                                         reason == nullptr ? "" : ": ",
                                         reason == nullptr ? "" : reason));
}

// ---- Names

bool IsIpAddress(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

bool IsLabel(std::string_view label) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return !label.empty() && label.size() <= kMaxLabelSize &&
         label.front() != '-' && label.back() != '-' &&
         label.find_first_not_of(kAllowed) == std::string_view::npos;
}

// A host's name, or *.NAME, which is that of all hosts right below NAME.
bool IsDnsName(std::string_view name) {
  if (name.size() > kMaxDnsNameSize) return false;
  if (name.starts_with("*.")) name.remove_prefix(2);
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (!IsLabel(label)) return false;
    if (dot == std::string_view::npos) {
      // All digits: a bad IPv4 address.
      return label.find_first_not_of("0123456789") != std::string_view::npos;
    }
    name.remove_prefix(dot + 1);
  }
}

absl::Status CheckServerNames(const std::vector<std::string>& names) {
  if (names.empty()) {
    return absl::InvalidArgumentError(
        "names: must have at least one name or IP address of the server");
  }
  for (const std::string& name : names) {
    // inet_pton would stop at a NUL.
    const bool has_nul = name.find('\0') != std::string::npos;
    if (!has_nul && (IsIpAddress(name) || IsDnsName(name))) continue;
    return absl::InvalidArgumentError(
        fmt::format("names: {} is neither a DNS name (of A-Z a-z 0-9 - _ and "
                    "dots) nor an IP address (an IPv6 one without brackets)",
                    ShowValue(name)));
  }
  return absl::OkStatus();
}

std::size_t CountCharacters(std::string_view text) {
  std::size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(DecodeUtf8(text).length);
  return count;
}

absl::Status CheckClientIdentity(std::string_view identity) {
  const absl::Status s = CheckIdentity(identity);
  if (!s.ok()) return WithPath(s, "client");
  const std::size_t characters = CountCharacters(identity);
  if (characters <= kMaxCommonName) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("client: {} characters; a certificate has room for {}",
                  characters, kMaxCommonName));
}

absl::Status CheckHours(std::string_view name, std::chrono::hours value) {
  if (value >= std::chrono::hours(1) && value <= kLongestValidity) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format("{}: {} h; must be 1 to {}",
                                                name, value.count(),
                                                kLongestValidity.count()));
}

absl::Status CheckValidity(const InitTlsOptions& options) {
  absl::Status s = CheckHours("validity", options.validity);
  if (s.ok()) s = CheckHours("ca_validity", options.ca_validity);
  if (s.ok() && options.validity > options.ca_validity) {
    s = absl::InvalidArgumentError(
        fmt::format("validity: {} h are more than the {} of the CA",
                    options.validity.count(), options.ca_validity.count()));
  }
  return s;
}

// ---- Certificates

struct Draft {
  std::string common_name;
  // Who signs it; null: itself.
  X509* issuer = nullptr;
  EVP_PKEY* issuer_key = nullptr;
  std::time_t now = 0;
  std::chrono::hours validity{};
  // Texts of OpenSSL's configuration; nothing that others have written.
  const char* basic_constraints = nullptr;
  const char* key_usage = nullptr;
  const char* extended_key_usage = nullptr;  // null: none
  std::vector<std::string> names;
};

bool SetSerial(X509* certificate) {
  const BigNumber serial(BN_new());
  return serial != nullptr &&
         BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY,
                 BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) !=
             nullptr;
}

bool SetTimes(X509* certificate, std::time_t now, std::chrono::hours validity) {
  const auto seconds = [](auto duration) {
    // NOLINTNEXTLINE(google-runtime-int): the type that OpenSSL takes
    return Narrow<long>(std::chrono::seconds(duration).count());
  };
  // Through days: a long has no room for the seconds of a century everywhere.
  const auto days = std::chrono::floor<std::chrono::days>(validity);
  return X509_time_adj_ex(X509_getm_notBefore(certificate), 0,
                          -seconds(kClockSkew), &now) != nullptr &&
         X509_time_adj_ex(X509_getm_notAfter(certificate),
                          Narrow<int>(days.count()), seconds(validity - days),
                          &now) != nullptr;
}

bool SetCommonName(X509* certificate, std::string_view name) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(name.data());
  return X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate),
                                    NID_commonName, MBSTRING_UTF8, bytes,
                                    Narrow<int>(name.size()), -1, 0) == 1;
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension != nullptr &&
         X509_add_ext(certificate, extension.get(), -1) == 1;
}

GeneralName MakeGeneralName(const std::string& name) {
  GeneralName made(GENERAL_NAME_new());
  if (made == nullptr) return nullptr;
  if (IsIpAddress(name)) {
    OctetString address(a2i_IPADDRESS(name.c_str()));
    if (address == nullptr) return nullptr;
    GENERAL_NAME_set0_value(made.get(), GEN_IPADD, address.release());
    return made;
  }
  Ia5String text(ASN1_IA5STRING_new());
  if (text == nullptr ||
      ASN1_STRING_set(text.get(), name.data(), Narrow<int>(name.size())) != 1) {
    return nullptr;
  }
  GENERAL_NAME_set0_value(made.get(), GEN_DNS, text.release());
  return made;
}

bool AddNames(X509* certificate, const std::vector<std::string>& names) {
  const GeneralNames all(GENERAL_NAMES_new());
  if (all == nullptr) return false;
  for (const std::string& name : names) {
    GeneralName made = MakeGeneralName(name);
    if (made == nullptr || sk_GENERAL_NAME_push(all.get(), made.get()) == 0) {
      return false;
    }
    static_cast<void>(made.release());
  }
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0,
                           X509V3_ADD_DEFAULT) == 1;
}

bool AddExtensions(X509* certificate, X509* issuer, const Draft& draft) {
  return AddExtension(certificate, issuer, NID_basic_constraints,
                      draft.basic_constraints) &&
         AddExtension(certificate, issuer, NID_key_usage, draft.key_usage) &&
         (draft.extended_key_usage == nullptr ||
          AddExtension(certificate, issuer, NID_ext_key_usage,
                       draft.extended_key_usage)) &&
         AddExtension(certificate, issuer, NID_subject_key_identifier,
                      "hash") &&
         AddExtension(certificate, issuer, NID_authority_key_identifier,
                      "keyid:always") &&
         (draft.names.empty() || AddNames(certificate, draft.names));
}

// A CA of somebody else's may have a key that takes no digest: Ed25519.
const EVP_MD* DigestFor(EVP_PKEY* key) {
  int digest = NID_undef;
  const bool takes_none =
      EVP_PKEY_get_default_digest_nid(key, &digest) == 2 && digest == NID_undef;
  return takes_none ? nullptr : EVP_sha256();
}

absl::StatusOr<Certificate> Sign(const Draft& draft, EVP_PKEY* key) {
  Certificate certificate(X509_new());
  if (certificate == nullptr) return OpenSslError("make a certificate");
  X509* const made = certificate.get();
  X509* const issuer = draft.issuer == nullptr ? made : draft.issuer;
  EVP_PKEY* const issuer_key =
      draft.issuer_key == nullptr ? key : draft.issuer_key;
  const bool is_made =
      X509_set_version(made, X509_VERSION_3) == 1 && SetSerial(made) &&
      SetTimes(made, draft.now, draft.validity) &&
      SetCommonName(made, draft.common_name) &&
      X509_set_issuer_name(made, X509_get_subject_name(issuer)) == 1 &&
      X509_set_pubkey(made, key) == 1 && AddExtensions(made, issuer, draft) &&
      X509_sign(made, issuer_key, DigestFor(issuer_key)) > 0;
  if (!is_made) return OpenSslError("make a certificate");
  return certificate;
}

// ---- PEM

std::string ContentsOf(BIO* bio) {
  char* data = nullptr;
  // NOLINTNEXTLINE(google-runtime-int): the type that OpenSSL returns
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

absl::StatusOr<CertificateAndKey> ToPem(X509* certificate, EVP_PKEY* key) {
  const MemoryBio certificate_text(BIO_new(BIO_s_mem()));
  // Is cleared when it is freed.
  const MemoryBio key_text(BIO_new(BIO_s_secmem()));
  if (certificate_text == nullptr || key_text == nullptr ||
      PEM_write_bio_X509(certificate_text.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key, nullptr, nullptr, 0,
                               nullptr, nullptr) != 1) {
    return OpenSslError("write a certificate and its key");
  }
  return CertificateAndKey{.certificate = ContentsOf(certificate_text.get()),
                           .key = ContentsOf(key_text.get())};
}

struct Made {
  PrivateKey key;
  Certificate certificate;
};

absl::StatusOr<Made> Make(const Draft& draft) {
  PrivateKey key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("make a key");
  absl::StatusOr<Certificate> certificate = Sign(draft, key.get());
  if (!certificate.ok()) return certificate.status();
  return Made{.key = std::move(key), .certificate = *std::move(certificate)};
}

// Two CAs of the same name would be taken for each other.
absl::StatusOr<std::string> NameOfCa() {
  const BigNumber number(BN_new());
  if (number == nullptr ||
      BN_rand(number.get(), 32, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1) {
    return OpenSslError("make a random number");
  }
  return fmt::format("messenger CA {:08x}", BN_get_word(number.get()));
}

absl::StatusOr<CertificateAndKey> MakeSigned(const Made& ca, Draft draft) {
  draft.issuer = ca.certificate.get();
  draft.issuer_key = ca.key.get();
  draft.basic_constraints = "critical,CA:FALSE";
  draft.key_usage = "critical,digitalSignature";
  const absl::StatusOr<Made> made = Make(draft);
  if (!made.ok()) return made.status();
  return ToPem(made->certificate.get(), made->key.get());
}

std::time_t PresentTime() {
  return std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
}

absl::StatusOr<CertificateAndKey> MakeServer(
    const Made& ca, const std::vector<std::string>& names,
    std::chrono::hours validity) {
  // A longer name is one of the alternative names alone, which are what counts.
  const std::string& name = names.front();
  return MakeSigned(
      ca,
      {.common_name = name.size() <= kMaxCommonName ? name : "messenger-server",
       .now = PresentTime(),
       .validity = validity,
       .extended_key_usage = "serverAuth",
       .names = names});
}

absl::StatusOr<CertificateAndKey> MakeClient(const Made& ca,
                                             const std::string& identity,
                                             std::chrono::hours validity) {
  return MakeSigned(ca, {.common_name = identity,
                         .now = PresentTime(),
                         .validity = validity,
                         .extended_key_usage = "clientAuth"});
}

// ---- A CA that is there

absl::Status CheckEnd(const CertificateAndKey& ca,
                      std::chrono::hours validity) {
  const auto of_ca = ValidityOf(ca.certificate);
  if (!of_ca.ok()) return of_ca.status();
  if (validity <= of_ca->until - std::chrono::system_clock::now()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format(
      "validity: {} h are more than the CA has left, which expires on {}",
      validity.count(), TextOf(of_ca->until)));
}

MemoryBio ReaderOf(const std::string& pem) {
  return MemoryBio(BIO_new_mem_buf(pem.data(), Narrow<int>(pem.size())));
}

Certificate FirstIn(const std::string& pem) {
  return Certificate(
      PEM_read_bio_X509(ReaderOf(pem).get(), nullptr, nullptr, nullptr));
}

absl::StatusOr<Made> OpenCa(const CertificateAndKey& ca,
                            std::chrono::hours validity) {
  absl::Status s = CheckHours("validity", validity);
  if (s.ok()) s = CheckEnd(ca, validity);
  if (!s.ok()) return s;
  Made made = {.key = PrivateKey(PEM_read_bio_PrivateKey(
                   ReaderOf(ca.key).get(), nullptr, nullptr, nullptr)),
               .certificate = FirstIn(ca.certificate)};
  if (made.key == nullptr || made.certificate == nullptr) {
    return OpenSslError("read the CA");
  }
  return made;
}

}  // namespace

absl::Status CheckCa(const CertificateAndKey& ca) {
  if (absl::Status s = CheckPair(ca); !s.ok()) return s;
  const Certificate certificate = FirstIn(ca.certificate);
  if (certificate == nullptr || X509_check_ca(certificate.get()) == 0) {
    return absl::InvalidArgumentError("the certificate is that of no CA");
  }
  const auto validity = ValidityOf(ca.certificate);
  if (!validity.ok()) return validity.status();
  if (std::chrono::system_clock::now() < validity->until) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(fmt::format(
      "the CA has expired on {}; make a new one in another directory, which "
      "server and clients need",
      TextOf(validity->until)));
}

absl::StatusOr<CertificateAndKey> MakeServerCertificate(
    const CertificateAndKey& ca, const std::vector<std::string>& names,
    std::chrono::hours validity) {
  if (absl::Status s = CheckServerNames(names); !s.ok()) return s;
  const absl::StatusOr<Made> opened = OpenCa(ca, validity);
  if (!opened.ok()) return opened.status();
  return MakeServer(*opened, names, validity);
}

absl::StatusOr<CertificateAndKey> MakeClientCertificate(
    const CertificateAndKey& ca, const std::string& identity,
    std::chrono::hours validity) {
  if (absl::Status s = CheckClientIdentity(identity); !s.ok()) return s;
  const absl::StatusOr<Made> opened = OpenCa(ca, validity);
  if (!opened.ok()) return opened.status();
  return MakeClient(*opened, identity, validity);
}

absl::StatusOr<Certificates> MakeCertificates(const InitTlsOptions& options) {
  absl::Status s = CheckServerNames(options.names);
  if (s.ok()) s = CheckClientIdentity(options.client);
  if (s.ok()) s = CheckValidity(options);
  if (!s.ok()) return s;
  const absl::StatusOr<std::string> ca_name = NameOfCa();
  if (!ca_name.ok()) return ca_name.status();
  const absl::StatusOr<Made> ca =
      Make({.common_name = *ca_name,
            .now = PresentTime(),
            .validity = options.ca_validity,
            .basic_constraints = "critical,CA:TRUE,pathlen:0",
            .key_usage = "critical,keyCertSign,cRLSign"});
  if (!ca.ok()) return ca.status();
  absl::StatusOr<CertificateAndKey> ca_text =
      ToPem(ca->certificate.get(), ca->key.get());
  if (!ca_text.ok()) return ca_text.status();
  absl::StatusOr<CertificateAndKey> server =
      MakeServer(*ca, options.names, options.validity);
  if (!server.ok()) return server.status();
  absl::StatusOr<CertificateAndKey> client =
      MakeClient(*ca, options.client, options.validity);
  if (!client.ok()) return client.status();
  return Certificates{.ca = *std::move(ca_text),
                      .server = *std::move(server),
                      .client = *std::move(client)};
}

}  // namespace messenger
