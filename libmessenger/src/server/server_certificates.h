// The certificate of a server, for gRPC.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "messenger/security.h"
#include "security/expiry_notice.h"
#include "security/file_watch.h"
#include "security/pem.h"

namespace messenger {

// Reads the files of a ServerTls, and again when they change, and hands out the
// credentials by which connections are encrypted: each new one with what was
// read last that could be used.
//
// Thread safety: all members may be called from any thread.
class ServerCertificates {
 public:
  // INVALID_ARGUMENT names the option, the file and what is wrong with it.
  // Blocks.
  static absl::StatusOr<std::unique_ptr<ServerCertificates>> Open(
      const ServerTls& tls, std::function<void(std::string_view)> on_notice);

  ~ServerCertificates() = default;
  ServerCertificates(const ServerCertificates&) = delete;
  ServerCertificates& operator=(const ServerCertificates&) = delete;

  // For one server, which must be gone before this.
  std::shared_ptr<grpc::ServerCredentials> Credentials();

 private:
  class SslCredentials;
  struct Pem {
    CertificateAndKey own;
    std::string authorities;  // of clients
  };

  ServerCertificates(const ServerTls& tls,
                     std::function<void(std::string_view)> on_notice);
  // Takes what the files say, each that can be used, and the pair of the first
  // two as one.
  absl::Status Load(const FileWatch::Contents& files, Pem* pem) const;
  absl::Status LoadOwn(const FileWatch::Contents& files, Pem* pem) const;
  absl::Status LoadAuthorities(const FileWatch::Contents& files,
                               Pem* pem) const;
  // What gRPC asks for each connection: null if it has what there is.
  grpc_ssl_server_certificate_config* TakeNew() ABSL_LOCKS_EXCLUDED(mu_);
  void Reload(const FileWatch::Contents& files);
  void Tell(std::string_view notice) const;
  // Tells the operator what is wrong with them, though they can be used.
  void Examine(const Pem& pem);
  void TellExpiry();

  const ServerTls tls_;
  const std::function<void(std::string_view)> on_notice_;
  // On the thread of the watch, once it runs.
  ExpiryNotice expiry_;
  std::optional<std::string> exposure_;  // as it was told

  absl::Mutex mu_;
  Pem pem_ ABSL_GUARDED_BY(mu_);
  std::uint64_t version_ ABSL_GUARDED_BY(mu_) = 1;
  std::uint64_t given_ ABSL_GUARDED_BY(mu_) = 0;  // version that gRPC has
  FileWatch watch_;  // last: its callbacks use all of the above
};

}  // namespace messenger
