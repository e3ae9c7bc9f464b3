// How a client encrypts its connections, and says who it is.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "messenger/client.h"

namespace messenger {

// INVALID_ARGUMENT names what is wrong with tls, token and token_file, whose
// files are read. The options' target is what ParseTarget has returned. Blocks.
absl::Status CheckCredentials(const ClientOptions& options);

// The same for token and token_file alone.
absl::Status CheckTokens(const ClientOptions& options);

// Adds a bearer token to a call.
void AddToken(grpc::ClientContext* context, const std::string& token);

// The channel credentials for a connection to come. The files may have changed
// since: then they are read again, and what is wrong with them is ignored for
// as long as there is what was read before.
//
// Thread safety: all members may be called from any thread.
class ConnectionCredentials {
 public:
  // Of options that were checked. Reads the files: from then on there is
  // something to go on with.
  explicit ConnectionCredentials(const ClientOptions& options);

  std::shared_ptr<grpc::ChannelCredentials> Get() ABSL_LOCKS_EXCLUDED(mu_);

  // The name in the server's certificate; empty without TLS.
  std::string server_name() const;

 private:
  const std::optional<ClientTls> tls_;
  const std::string target_;
  absl::Mutex mu_;
  std::shared_ptr<grpc::ChannelCredentials> last_ ABSL_GUARDED_BY(mu_);
};

// The bearer token that goes with each call.
//
// Thread safety: all members may be called from any thread.
class CallToken {
 public:
  explicit CallToken(const ClientOptions& options);

  // Which of the tokens that have been in the file.
  using Version = std::uint64_t;

  // Adds it to a call, and says which one that is. A file is read for each.
  Version AddTo(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mu_);

  // A call was told that its token, which is this one, is not valid: whether
  // there is another one by now.
  bool WasReplaced(Version version) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Takes what is in the file, unless that cannot be used.
  void Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string file_;
  absl::Mutex mu_;
  std::string token_ ABSL_GUARDED_BY(mu_);  // that was read last
  Version version_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace messenger
