#include "support/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "base/narrow.h"

namespace messenger::test {
namespace {

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

void Must(bool ok) {
  if (!ok) throw std::runtime_error("OpenSSL cannot make a certificate");
}

Key NewKey(unsigned rsa_bits = 0) {
  Key key(
      rsa_bits == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(std::size_t{rsa_bits}),
      EVP_PKEY_free);
  Must(key != nullptr);
  return key;
}

template <typename Write>
std::string ToPem(Write write) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()),
                                                          BIO_free_all);
  Must(write(bio.get()) == 1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, Narrow<std::size_t>(size)};
}

std::string PemOf(X509* certificate) {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string PemOf(EVP_PKEY* key) {
  return ToPem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr,
                                    nullptr);
  });
}

void AddExtension(X509* certificate, X509* issuer, int kind,
                  const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)>
      extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()),
                X509_EXTENSION_free);
  Must(extension != nullptr &&
       X509_add_ext(certificate, extension.get(), -1) == 1);
}

void AddNames(X509* certificate, X509* issuer,
              const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ",") + name;
  }
  if (!list.empty()) {
    AddExtension(certificate, issuer, NID_subject_alt_name, list);
  }
}

// Without a signature. `issuer` is null for one that issues itself.
Certificate Prepare(const CertificateRequest& request, EVP_PKEY* key,
                    X509* issuer) {
  static std::atomic<std::int64_t> serial{1};
  Certificate certificate(X509_new(), X509_free);
  X509* const raw = certificate.get();
  Must(raw != nullptr && X509_set_version(raw, 2) == 1 &&
       ASN1_INTEGER_set(X509_get_serialNumber(raw), ++serial) == 1 &&
       X509_set_pubkey(raw, key) == 1);
  const std::time_t now = std::time(nullptr);
  Must(ASN1_TIME_set(X509_getm_notBefore(raw),
                     now + request.valid_from.count()) != nullptr &&
       ASN1_TIME_set(X509_getm_notAfter(raw),
                     now + request.valid_until.count()) != nullptr);
  X509_NAME* const name = X509_get_subject_name(raw);
  if (!request.common_name.empty()) {
    Must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(
                                        request.common_name.c_str()),
                                    -1, -1, 0) == 1);
  }
  Must(X509_set_issuer_name(
           raw, issuer == nullptr ? name : X509_get_subject_name(issuer)) == 1);
  return certificate;
}

}  // namespace

class TestAuthority::Impl {
 public:
  Impl(const std::string& name, unsigned rsa_bits,
       std::chrono::seconds valid_until)
      : key_(NewKey(rsa_bits)),
        certificate_(Prepare({.common_name = name,
                              .valid_from = std::chrono::hours(-24),
                              .valid_until = valid_until},
                             key_.get(), nullptr)) {
    X509* const raw = certificate_.get();
    AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE");
    AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign");
    AddExtension(raw, raw, NID_subject_key_identifier, "hash");
    Sign(raw);
  }

  void Sign(X509* certificate, const char* digest = "SHA256") const {
    Must(X509_sign(certificate, key_.get(), EVP_get_digestbyname(digest)) > 0);
  }
  X509* certificate() const { return certificate_.get(); }
  EVP_PKEY* key() const { return key_.get(); }

 private:
  Key key_;
  Certificate certificate_;
};

TestAuthority::TestAuthority(const std::string& name, unsigned rsa_bits,
                             std::chrono::seconds valid_until)
    : impl_(std::make_unique<Impl>(name, rsa_bits, valid_until)),
      certificate_(PemOf(impl_->certificate())) {}

TestAuthority::~TestAuthority() = default;

std::string TestAuthority::key() const {
  return PemOf(impl_->key());
}

IssuedCertificate TestAuthority::Issue(
    const CertificateRequest& request) const {
  const Key key = NewKey(request.rsa_bits);
  const Certificate certificate =
      Prepare(request, key.get(), impl_->certificate());
  AddNames(certificate.get(), impl_->certificate(), request.names);
  impl_->Sign(certificate.get(), request.digest);
  return {.certificate = PemOf(certificate.get()), .key = PemOf(key.get())};
}

IssuedCertificate SelfSigned(const CertificateRequest& request) {
  const Key key = NewKey(request.rsa_bits);
  const Certificate certificate = Prepare(request, key.get(), nullptr);
  AddNames(certificate.get(), certificate.get(), request.names);
  Must(X509_sign(certificate.get(), key.get(),
                 EVP_get_digestbyname(request.digest)) > 0);
  return {.certificate = PemOf(certificate.get()), .key = PemOf(key.get())};
}

void ReplaceFile(const std::string& path, const std::string& contents) {
  const std::string beside = path + ".new";
  std::ofstream(beside, std::ios::binary) << contents;
  std::filesystem::rename(beside, path);
}

CertificateFiles WriteFiles(const TemporaryDirectory& directory,
                            const std::string& name,
                            const IssuedCertificate& issued) {
  CertificateFiles files = {
      .certificate = directory.path() + "/" + name + ".pem",
      .key = directory.path() + "/" + name + ".key"};
  // A pair is replaced in two steps, as most tools do it.
  ReplaceFile(files.key, issued.key);
  ReplaceFile(files.certificate, issued.certificate);
  return files;
}

}  // namespace messenger::test
