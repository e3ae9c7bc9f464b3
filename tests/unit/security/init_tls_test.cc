#include <doctest/doctest.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "messenger/security_tools.h"
#include "support/certificates.h"
#include "support/printing.h"
#include "support/temporary_directory.h"

namespace messenger::init_tls_test {
namespace {

using test::Contains;
using test::TemporaryDirectory;

template <typename T, auto kFree>
struct Free {
  void operator()(T* value) const { kFree(value); }
};
using CertificatePtr = std::unique_ptr<X509, Free<X509, X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Free<X509_STORE, X509_STORE_free>>;
using ContextPtr =
    std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX, X509_STORE_CTX_free>>;

CertificatePtr ReadCertificate(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  REQUIRE(file != nullptr);
  CertificatePtr certificate(PEM_read_X509(file, nullptr, nullptr, nullptr));
  std::fclose(file);
  REQUIRE(certificate != nullptr);
  return certificate;
}

KeyPtr ReadKey(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  REQUIRE(file != nullptr);
  KeyPtr key(PEM_read_PrivateKey(file, nullptr, nullptr, nullptr));
  std::fclose(file);
  REQUIRE(key != nullptr);
  return key;
}

struct Check {
  int purpose = X509_PURPOSE_SSL_SERVER;
  std::string host = {};
  std::string ip = {};
  std::time_t time = 0;  // 0: now
};

// "ok", or why OpenSSL does not accept the certificate, as strictly as it can.
std::string Verify(X509* certificate, X509* ca, const Check& check) {
  const StorePtr store(X509_STORE_new());
  REQUIRE(X509_STORE_add_cert(store.get(), ca) == 1);
  const ContextPtr context(X509_STORE_CTX_new());
  REQUIRE(X509_STORE_CTX_init(context.get(), store.get(), certificate,
                              nullptr) == 1);
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(
      param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
  X509_VERIFY_PARAM_set_purpose(param, check.purpose);
  X509_VERIFY_PARAM_set_auth_level(param, 2);
  if (check.time != 0) X509_VERIFY_PARAM_set_time(param, check.time);
  if (!check.host.empty()) {
    X509_VERIFY_PARAM_set1_host(param, check.host.c_str(), 0);
  }
  if (!check.ip.empty()) {
    X509_VERIFY_PARAM_set1_ip_asc(param, check.ip.c_str());
  }
  if (X509_verify_cert(context.get()) == 1) return "ok";
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

std::string CommonName(X509* certificate) {
  std::array<char, 256> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                            name.data(), name.size());
  return name.data();
}

std::vector<std::string> PathsOf(const TlsFiles& files) {
  return {files.ca_certificate,     files.ca_key,
          files.server_certificate, files.server_key,
          files.client_certificate, files.client_key};
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777U;
}

struct Lab {
  TemporaryDirectory parent;
  std::string directory = parent.path() + "/tls";

  absl::StatusOr<TlsFiles> Init(std::vector<std::string> names = {
                                    "log.example.org", "*.log.example.org",
                                    "localhost", "127.0.0.1", "::1"}) const {
    return InitTls({.directory = directory, .names = std::move(names)});
  }
};

struct Made : Lab {
  TlsFiles files = [this] {
    const auto made = Init();
    REQUIRE_MESSAGE(made.ok(), made.status().ToString());
    return *made;
  }();
  CertificatePtr ca = ReadCertificate(files.ca_certificate);
  CertificatePtr server = ReadCertificate(files.server_certificate);
  CertificatePtr client = ReadCertificate(files.client_certificate);
};

TEST_CASE_FIXTURE(Made,
                  "init tls: the server's certificate is good for each of its "
                  "names, and for no other") {
  for (const std::string host :
       {"log.example.org", "a.log.example.org", "localhost"}) {
    CAPTURE(host);
    CHECK(Verify(server.get(), ca.get(), {.host = host}) == "ok");
  }
  for (const std::string ip : {"127.0.0.1", "::1"}) {
    CAPTURE(ip);
    CHECK(Verify(server.get(), ca.get(), {.ip = ip}) == "ok");
  }
  CHECK(Verify(server.get(), ca.get(), {.host = "example.org"}) ==
        "hostname mismatch");
  CHECK(Verify(server.get(), ca.get(), {.ip = "127.0.0.2"}) ==
        "IP address mismatch");
  CHECK(CommonName(server.get()) == "log.example.org");
}

TEST_CASE_FIXTURE(
    Made,
    "init tls: each certificate is good for its end of a connection only") {
  CHECK(Verify(client.get(), ca.get(), {.purpose = X509_PURPOSE_SSL_CLIENT}) ==
        "ok");
  CHECK(Verify(client.get(), ca.get(), {}) != "ok");
  CHECK(Verify(server.get(), ca.get(), {.purpose = X509_PURPOSE_SSL_CLIENT}) !=
        "ok");
  CHECK(CommonName(client.get()) == "client");
}

TEST_CASE_FIXTURE(Made,
                  "init tls: certificates of another CA are not accepted") {
  const TemporaryDirectory other;
  const auto other_files =
      InitTls({.directory = other.path(), .names = {"localhost"}});
  REQUIRE(other_files.ok());
  const CertificatePtr other_ca = ReadCertificate(other_files->ca_certificate);
  CHECK(Verify(server.get(), other_ca.get(), {}) != "ok");
  CHECK(CommonName(other_ca.get()) != CommonName(ca.get()));
}

TEST_CASE_FIXTURE(
    Made, "init tls: the CA can sign certificates, but make no other CA") {
  CHECK(X509_check_ca(ca.get()) == 1);
  CHECK(X509_get_pathlen(ca.get()) == 0);
  CHECK(X509_get_key_usage(ca.get()) == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  for (X509* const leaf : {server.get(), client.get()}) {
    CHECK(X509_check_ca(leaf) == 0);
    CHECK(X509_get_key_usage(leaf) == KU_DIGITAL_SIGNATURE);
    REQUIRE(X509_get0_authority_key_id(leaf) != nullptr);
    CHECK(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(leaf),
                                X509_get0_subject_key_id(ca.get())) == 0);
  }
  CHECK(X509_get_extended_key_usage(server.get()) == XKU_SSL_SERVER);
  CHECK(X509_get_extended_key_usage(client.get()) == XKU_SSL_CLIENT);
}

TEST_CASE_FIXTURE(Made,
                  "init tls: each certificate has a key of its own on P-256, "
                  "and a random serial number") {
  std::set<std::string> serials;
  std::set<std::string> keys;
  for (const auto& [certificate, key_path] :
       {std::pair{ca.get(), files.ca_key},
        std::pair{server.get(), files.server_key},
        std::pair{client.get(), files.client_key}}) {
    const KeyPtr key = ReadKey(key_path);
    CHECK(X509_check_private_key(certificate, key.get()) == 1);
    std::array<char, 64> group{};
    CHECK(EVP_PKEY_get_group_name(key.get(), group.data(), group.size(),
                                  nullptr) == 1);
    CHECK(std::string_view(group.data()) == "prime256v1");
    BIGNUM* const serial =
        ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
    CHECK(BN_num_bits(serial) > 64);
    CHECK(BN_num_bits(serial) <= 128);
    CHECK(BN_is_negative(serial) == 0);
    char* const hex = BN_bn2hex(serial);
    serials.insert(hex);
    OPENSSL_free(hex);
    BN_free(serial);
    std::ifstream file(key_path);
    keys.insert({std::istreambuf_iterator<char>(file), {}});
  }
  CHECK(serials.size() == 3);
  CHECK(keys.size() == 3);
}

TEST_CASE_FIXTURE(Made,
                  "init tls: certificates hold from a few minutes ago on, for "
                  "as long as was asked for") {
  const std::time_t now = std::time(nullptr);
  for (X509* const one : {server.get(), client.get()}) {
    const int purpose =
        one == server.get() ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    struct Moment {
      std::int64_t after_now;
      std::string_view expected;
    };
    for (const Moment& moment : {
             Moment{-240, "ok"},
             Moment{-360, "certificate is not yet valid"},
             Moment{365 * 86400 - 60, "ok"},
             Moment{365 * 86400 + 60, "certificate has expired"},
         }) {
      CAPTURE(moment.after_now);
      CHECK(Verify(one, ca.get(),
                   {.purpose = purpose, .time = now + moment.after_now}) ==
            moment.expected);
    }
  }
  // After the year 2049, times have another form.
  const TemporaryDirectory other;
  const auto century = std::chrono::hours(24) * 36500;
  const auto other_files = InitTls({.directory = other.path(),
                                    .names = {"a"},
                                    .validity = century,
                                    .ca_validity = century});
  REQUIRE(other_files.ok());
  CHECK(Verify(ReadCertificate(other_files->server_certificate).get(),
               ReadCertificate(other_files->ca_certificate).get(),
               {.host = "a", .time = now + std::int64_t{36499} * 86400}) ==
        "ok");
}

TEST_CASE_FIXTURE(
    Lab, "init tls: keys are their owner's alone, whatever the umask is") {
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    const mode_t before = umask(mask);
    const auto made = Init();
    umask(before);
    REQUIRE(made.ok());
    CHECK(ModeOf(directory) == 0700);
    for (const std::string& path : PathsOf(*made)) {
      CAPTURE(path);
      CHECK(ModeOf(path) == (path.ends_with(".key") ? 0600 : 0644));
    }
    std::filesystem::remove_all(directory);
  }
}

TEST_CASE_FIXTURE(Lab,
                  "init tls: a file that is there is named, and nothing is "
                  "made or overwritten") {
  for (const std::string name : {"ca.pem", "ca.key", "server.pem", "server.key",
                                 "client.pem", "client.key"}) {
    std::filesystem::create_directory(directory);
    const std::string path = directory + "/" + name;
    std::ofstream(path) << "mine";
    const auto made = Init();
    CHECK(absl::IsAlreadyExists(made.status()));
    CHECK(MessageOf(made.status()).starts_with(path + ": "));
    std::ifstream file(path);
    std::string text;
    file >> text;
    CHECK(text == "mine");
    CHECK(std::distance(std::filesystem::directory_iterator(directory), {}) ==
          1);
    std::filesystem::remove_all(directory);
  }
  // Not even a link that leads nowhere is followed.
  std::filesystem::create_directory(directory);
  std::filesystem::create_symlink(parent.path() + "/elsewhere",
                                  directory + "/server.key");
  CHECK(absl::IsAlreadyExists(Init().status()));
  CHECK(!std::filesystem::exists(parent.path() + "/elsewhere"));
}

TEST_CASE_FIXTURE(
    Lab,
    "init tls: a directory that is there keeps its mode, and what is in it") {
  std::filesystem::create_directory(directory);
  REQUIRE(chmod(directory.c_str(), 0755) == 0);
  std::ofstream(directory + "/other") << "mine";
  directory += "//";
  const auto made = Init();
  REQUIRE(made.ok());
  CHECK(made->ca_key == parent.path() + "/tls/ca.key");
  CHECK(ModeOf(directory) == 0755);
  CHECK(std::filesystem::exists(directory + "/other"));
}

TEST_CASE_FIXTURE(
    Lab, "init tls: what is out of bounds is named, and nothing is made") {
  const auto error = [this](InitTlsOptions options) {
    options.directory = directory;
    const auto made = InitTls(options);
    CHECK(absl::IsInvalidArgument(made.status()));
    CHECK(!std::filesystem::exists(directory));
    return std::string(MessageOf(made.status()));
  };
  using namespace std::string_literals;
  CHECK(error({}).starts_with("names: must have at least one"));
  for (const std::string& name :
       {""s, "a b"s, "-a"s, "a-"s, "a..b"s, ".a"s, "a."s, "*"s, "a.*.b"s,
        "1.2.3"s, "1.2.3.256"s, "[::1]"s, "a:1"s, "a\0b"s, "127.0.0.1\0x"s,
        "m\xC3\xBCnchen.de"s, std::string(64, 'a'),
        std::string(127, 'a') + "." + std::string(127, 'b')}) {
    CAPTURE(name);
    CHECK(error({.names = {"localhost", name}}).starts_with("names: "));
  }
  for (const std::string& client : {""s, "*"s, "anonymous"s, "a\"b"s}) {
    CAPTURE(client);
    CHECK(error({.names = {"a"}, .client = client}).starts_with("client: "));
  }
  CHECK(error({.names = {"a"}, .client = std::string(65, 'c')}) ==
        "client: 65 characters; a certificate has room for 64");
  CHECK(error({.names = {"a"}, .validity = std::chrono::hours(0)})
            .starts_with("validity: 0 h; must be 1 to "));
  CHECK(error({.names = {"a"}, .ca_validity = std::chrono::hours::max()})
            .starts_with("ca_validity: "));
  CHECK(error({.names = {"a"},
               .validity = std::chrono::hours(3),
               .ca_validity = std::chrono::hours(2)}) ==
        "validity: 3 h are more than the 2 of the CA");
  CHECK(absl::IsInvalidArgument(InitTls({.names = {"a"}}).status()));
  directory += "/deep/er";
  CHECK(absl::IsNotFound(Init().status()));
}

TEST_CASE_FIXTURE(Lab,
                  "init tls: an identity of other letters, and long names, are "
                  "in the certificates as they are") {
  std::string umlauts;
  for (int i = 0; i < 64; ++i) umlauts += "\xC3\xBC";
  const std::string name = std::string(60, 'a') + "." + std::string(60, 'b');
  const auto made =
      InitTls({.directory = directory, .names = {name}, .client = umlauts});
  REQUIRE(made.ok());
  const CertificatePtr client = ReadCertificate(made->client_certificate);
  CHECK(CommonName(client.get()) == umlauts);
  const CertificatePtr ca = ReadCertificate(made->ca_certificate);
  const CertificatePtr server = ReadCertificate(made->server_certificate);
  CHECK(Verify(server.get(), ca.get(), {.host = name}) == "ok");
}

TEST_CASE_FIXTURE(Lab,
                  "init tls: what was made is removed if the rest cannot be") {
  // Many names make the server's certificate larger than a file may be.
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) {
    names.push_back(fmt::format("host-{}.example", i));
  }
  struct rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {.rlim_cur = 1500, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto made = Init(names);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  static_cast<void>(std::signal(SIGXFSZ, handler));
  CHECK(
      MessageOf(made.status()).starts_with(directory + "/server.pem: write: "));
  CHECK(!std::filesystem::exists(directory));
  CHECK(Init(names).ok());
}

// ---- With a CA that is there

std::string ContentsOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& one : std::filesystem::directory_iterator(directory)) {
    names.push_back(one.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST_CASE_FIXTURE(Made, "init tls: a CA that is there certifies more clients") {
  const auto made = AddTlsClient({.directory = directory + "/",
                                  .client = "ann",
                                  .validity = std::chrono::hours(48)});
  REQUIRE_MESSAGE(made.ok(), made.status().ToString());
  CHECK(made->certificate == directory + "/ann.pem");
  CHECK(made->key == directory + "/ann.key");
  CHECK(ModeOf(made->certificate) == 0644);
  CHECK(ModeOf(made->key) == 0600);
  const CertificatePtr ann = ReadCertificate(made->certificate);
  CHECK(CommonName(ann.get()) == "ann");
  CHECK(X509_check_private_key(ann.get(), ReadKey(made->key).get()) == 1);
  const std::time_t now = std::time(nullptr);
  CHECK(Verify(ann.get(), ca.get(),
               {.purpose = X509_PURPOSE_SSL_CLIENT,
                .time = now + std::int64_t{47} * 3600}) == "ok");
  CHECK(Verify(ann.get(), ca.get(),
               {.purpose = X509_PURPOSE_SSL_CLIENT,
                .time = now + std::int64_t{49} * 3600}) ==
        "certificate has expired");
  CHECK(Verify(ann.get(), ca.get(), {}) != "ok");
  // Nothing else has changed, and nothing is overwritten.
  const std::string before = ContentsOf(made->key);
  const auto again = AddTlsClient({.directory = directory, .client = "ann"});
  CHECK(absl::IsAlreadyExists(again.status()));
  CHECK(MessageOf(again.status()).starts_with(made->certificate + ": "));
  CHECK(ContentsOf(made->key) == before);
  CHECK(NamesIn(directory) ==
        std::vector<std::string>{"ann.key", "ann.pem", "ca.key", "ca.pem",
                                 "client.key", "client.pem", "server.key",
                                 "server.pem"});
}

TEST_CASE_FIXTURE(Made, "init tls: a client whose name is no file's") {
  for (const std::string name :
       {"a/b", "../a", ".a", "-a", "ca", "server", "", "*", "a\"b"}) {
    CAPTURE(name);
    const auto made = AddTlsClient({.directory = directory, .client = name});
    CHECK(absl::IsInvalidArgument(made.status()));
    CHECK(MessageOf(made.status()).starts_with("client: "));
  }
  CHECK(AddTlsClient({.directory = directory, .client = "Ann Lee"}).ok());
}

TEST_CASE_FIXTURE(Made,
                  "init tls: the server's certificate is renewed, for "
                  "the same names") {
  REQUIRE(chmod(files.server_key.c_str(), 0640) == 0);
  const auto made = RenewTls({.directory = directory});
  REQUIRE_MESSAGE(made.ok(), made.status().ToString());
  CHECK(made->certificate == files.server_certificate);
  CHECK(made->key == files.server_key);
  const CertificatePtr renewed = ReadCertificate(made->certificate);
  CHECK(X509_cmp(renewed.get(), server.get()) != 0);
  CHECK(X509_check_private_key(renewed.get(), ReadKey(made->key).get()) == 1);
  for (const std::string host : {"log.example.org", "a.log.example.org"}) {
    CHECK(Verify(renewed.get(), ca.get(), {.host = host}) == "ok");
  }
  CHECK(Verify(renewed.get(), ca.get(), {.ip = "::1"}) == "ok");
  // Modes stay, and nothing is left beside.
  CHECK(ModeOf(made->key) == 0640);
  CHECK(ModeOf(made->certificate) == 0644);
  CHECK(NamesIn(directory).size() == 6);
  // Or for others.
  REQUIRE(RenewTls({.directory = directory, .names = {"new.example"}}).ok());
  const CertificatePtr other = ReadCertificate(made->certificate);
  CHECK(Verify(other.get(), ca.get(), {.host = "new.example"}) == "ok");
  CHECK(Verify(other.get(), ca.get(), {.host = "localhost"}) != "ok");
}

TEST_CASE_FIXTURE(Made,
                  "init tls: if a renewal fails, the pair that was there "
                  "stays") {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) {
    names.push_back(fmt::format("host-{}.example", i));
  }
  const std::string certificate = ContentsOf(files.server_certificate);
  const std::string key = ContentsOf(files.server_key);
  // There is room for the key, and not for the certificate.
  struct rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {.rlim_cur = 1500, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto made = RenewTls({.directory = directory, .names = names});
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  static_cast<void>(std::signal(SIGXFSZ, handler));
  CHECK_FALSE(made.ok());
  CHECK(ContentsOf(files.server_certificate) == certificate);
  CHECK(ContentsOf(files.server_key) == key);
  CHECK(NamesIn(directory).size() == 6);
}

TEST_CASE_FIXTURE(Made,
                  "init tls: without its CA, or a good one, nothing is "
                  "made") {
  const auto errors = [this] {
    absl::Status added =
        AddTlsClient({.directory = directory, .client = "ann"}).status();
    CHECK(RenewTls({.directory = directory}).status() == added);
    CHECK_FALSE(std::filesystem::exists(directory + "/ann.pem"));
    return added;
  };
  // A CA's certificate that is not one, and the key of another one.
  const std::string key = ContentsOf(files.ca_key);
  std::filesystem::copy_file(files.server_key, files.ca_key,
                             std::filesystem::copy_options::overwrite_existing);
  absl::Status s = errors();
  CHECK(absl::IsInvalidArgument(s));
  CHECK(Contains(MessageOf(s), "is not that of the certificate"));
  std::filesystem::copy_file(files.server_certificate, files.ca_certificate,
                             std::filesystem::copy_options::overwrite_existing);
  s = errors();
  CHECK(absl::IsInvalidArgument(s));
  CHECK(Contains(MessageOf(s), "that of no CA"));
  // One that has expired.
  const test::TestAuthority expired("old", 0, std::chrono::seconds(-1));
  std::ofstream(files.ca_certificate) << expired.certificate();
  std::ofstream(files.ca_key) << expired.key();
  s = errors();
  CHECK(absl::IsFailedPrecondition(s));
  CHECK(Contains(MessageOf(s), files.ca_certificate));
  CHECK(Contains(MessageOf(s), "has expired on 20"));
  // None.
  std::filesystem::remove(files.ca_key);
  s = errors();
  CHECK(absl::IsNotFound(s));
  CHECK(MessageOf(s).starts_with(files.ca_key + ": "));
  std::filesystem::remove(files.ca_certificate);
  s = errors();
  CHECK(absl::IsNotFound(s));
  CHECK(Contains(MessageOf(s), "there is no CA yet"));
}

TEST_CASE_FIXTURE(Made, "init tls: no certificate outlives its CA") {
  const auto made = AddTlsClient({.directory = directory,
                                  .client = "ann",
                                  .validity = std::chrono::hours(24) * 3651});
  CHECK(absl::IsInvalidArgument(made.status()));
  CHECK(Contains(MessageOf(made.status()),
                 "validity: 87624 h are more than the CA has left, which "
                 "expires on 20"));
}

TEST_CASE("init tls: a CA of another kind certifies, too") {
  const TemporaryDirectory directory;
  const test::TestAuthority authority("RSA", /*rsa_bits=*/2048,
                                      std::chrono::hours(48));
  std::ofstream(directory.path() + "/ca.pem") << authority.certificate();
  std::ofstream(directory.path() + "/ca.key") << authority.key();
  const auto made = AddTlsClient({.directory = directory.path(),
                                  .client = "ann",
                                  .validity = std::chrono::hours(1)});
  REQUIRE_MESSAGE(made.ok(), made.status().ToString());
  CHECK(Verify(ReadCertificate(made->certificate).get(),
               ReadCertificate(directory.path() + "/ca.pem").get(),
               {.purpose = X509_PURPOSE_SSL_CLIENT}) == "ok");
}

}  // namespace
}  // namespace messenger::init_tls_test
