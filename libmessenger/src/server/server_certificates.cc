#include "server/server_certificates.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "messenger/printable.h"
#include "security/files.h"

namespace messenger {
namespace {

constexpr std::string_view kCertificate = "certificate_file";
constexpr std::string_view kPrivateKey = "private_key_file";
constexpr std::string_view kClientCa = "client_ca_file";

grpc_ssl_client_certificate_request_type RequestFor(const ServerTls& tls) {
  if (tls.client_ca_file.empty()) {
    return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  }
  return tls.client_certificates == ClientCertificates::kRequired
             ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
             : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
}

}  // namespace

// gRPC's own classes of credentials either keep what they were given, or read
// the files by themselves, and refuse all connections while what they find is
// wrong. Its C core asks for the certificate of each connection.
class ServerCertificates::SslCredentials final
    : public grpc::ServerCredentials {
 public:
  explicit SslCredentials(ServerCertificates* certificates)
      : credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                RequestFor(certificates->tls_), &Fetch, certificates))) {}
  ~SslCredentials() override { grpc_server_credentials_release(credentials_); }
  SslCredentials(const SslCredentials&) = delete;
  SslCredentials& operator=(const SslCredentials&) = delete;

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/)
      override {}

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* certificates, grpc_ssl_server_certificate_config** config) {
    *config = static_cast<ServerCertificates*>(certificates)->TakeNew();
    return *config == nullptr ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED
                              : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  grpc_server_credentials* const credentials_;
};

absl::StatusOr<std::unique_ptr<ServerCertificates>> ServerCertificates::Open(
    const ServerTls& tls, std::function<void(std::string_view)> on_notice) {
  if (tls.certificate_file.empty() || tls.private_key_file.empty()) {
    return absl::InvalidArgumentError(
        "tls: takes a certificate_file and a private_key_file");
  }
  std::unique_ptr<ServerCertificates> certificates(
      new ServerCertificates(tls, std::move(on_notice)));
  Pem pem;
  if (absl::Status s = certificates->Load(certificates->watch_.Read(), &pem);
      !s.ok()) {
    return s;
  }
  certificates->Examine(pem);
  {
    absl::MutexLock lock(&certificates->mu_);
    certificates->pem_ = std::move(pem);
  }
  certificates->watch_.Start(
      {.on_change =
           [raw = certificates.get()](const FileWatch::Contents& files) {
             raw->Reload(files);
           },
       .on_look = [raw = certificates.get()] { raw->TellExpiry(); }});
  return certificates;
}

ServerCertificates::ServerCertificates(
    const ServerTls& tls, std::function<void(std::string_view)> on_notice)
    : tls_(tls),
      on_notice_(std::move(on_notice)),
      watch_({{kCertificate, tls.certificate_file},
              {kPrivateKey, tls.private_key_file},
              {kClientCa, tls.client_ca_file}}) {}

std::shared_ptr<grpc::ServerCredentials> ServerCertificates::Credentials() {
  return std::make_shared<SslCredentials>(this);
}

grpc_ssl_server_certificate_config* ServerCertificates::TakeNew() {
  absl::MutexLock lock(&mu_);
  if (std::exchange(given_, version_) == version_) return nullptr;
  const grpc_ssl_pem_key_cert_pair pair = {
      .private_key = pem_.own.key.c_str(),
      .cert_chain = pem_.own.certificate.c_str()};
  // gRPC insists on some, also if it asks no client for a certificate.
  const std::string& authorities =
      pem_.authorities.empty() ? pem_.own.certificate : pem_.authorities;
  return grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair,
                                                   1);
}

absl::Status ServerCertificates::LoadOwn(const FileWatch::Contents& files,
                                         Pem* pem) const {
  const absl::StatusOr<std::string>& certificate = files.at(kCertificate);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<std::string>& key = files.at(kPrivateKey);
  if (!key.ok()) return key.status();
  CertificateAndKey own = {.certificate = *certificate, .key = *key};
  if (absl::Status s = CheckPair(own); !s.ok()) {
    return WithPath(s,
                    fmt::format("{}, {}: {}, {}", kCertificate, kPrivateKey,
                                tls_.certificate_file, tls_.private_key_file));
  }
  pem->own = std::move(own);
  return absl::OkStatus();
}

absl::Status ServerCertificates::LoadAuthorities(
    const FileWatch::Contents& files, Pem* pem) const {
  const auto file = files.find(kClientCa);
  if (file == files.end()) return absl::OkStatus();
  const absl::StatusOr<std::string>& authorities = file->second;
  if (!authorities.ok()) return authorities.status();
  if (absl::Status s = CheckAuthorities(*authorities); !s.ok()) {
    return WithPath(s, fmt::format("{}: {}", kClientCa, tls_.client_ca_file));
  }
  pem->authorities = *authorities;
  return absl::OkStatus();
}

absl::Status ServerCertificates::Load(const FileWatch::Contents& files,
                                      Pem* pem) const {
  // Each by itself: a mistake in one must not keep a CA that was taken out of
  // the other.
  absl::Status own = LoadOwn(files, pem);
  absl::Status authorities = LoadAuthorities(files, pem);
  return own.ok() ? authorities : own;
}

void ServerCertificates::Reload(const FileWatch::Contents& files) {
  Pem pem;
  {
    absl::MutexLock lock(&mu_);
    pem = pem_;
  }
  const absl::Status status = Load(files, &pem);
  {
    absl::MutexLock lock(&mu_);
    pem_ = pem;
    ++version_;
  }
  Tell(status.ok()
           ? fmt::format("read {} again", watch_.Names())
           : fmt::format("{}; new connections get what was there before",
                         MessageOf(status)));
  if (status.ok()) Examine(pem);
}

void ServerCertificates::Tell(std::string_view notice) const {
  if (on_notice_) on_notice_(Printable(notice));
}

void ServerCertificates::Examine(const Pem& pem) {
  if (const auto validity = ValidityOf(pem.own.certificate); validity.ok()) {
    expiry_.Set(*validity);
  }
  TellExpiry();
  const auto exposure = ExposureOf(tls_.private_key_file);
  if (exposure && exposure != exposure_) {
    Tell(fmt::format("{}: {}", kPrivateKey, *exposure));
  }
  exposure_ = exposure;
}

void ServerCertificates::TellExpiry() {
  if (const auto due = expiry_.Due(std::chrono::system_clock::now())) {
    Tell(fmt::format("{}: {} {}", kCertificate, tls_.certificate_file, *due));
  }
}

}  // namespace messenger
