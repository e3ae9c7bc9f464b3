#include "client/credentials.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/target.h"
#include "rpc/status.h"
#include "security/client_tls.h"
#include "security/files.h"
#include "security/pem.h"

namespace messenger {
namespace {

// Sees to the name in a server's certificate, when gRPC's handshake has
// verified all else; and once more to all else, by the same rules as everywhere
// here.
class Verifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit Verifier(ServerVerifier verifier) : verifier_(std::move(verifier)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/,
              grpc::Status* status) override {
    grpc::string_ref chain = request->peer_cert_full_chain();
    if (chain.empty()) chain = request->peer_cert();
    *status = rpc::ToGrpc(verifier_.Verify({chain.data(), chain.size()}));
    return true;
  }
  void Cancel(
      grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/)
      override {}

 private:
  const ServerVerifier verifier_;
};

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ClientTls& tls, std::string_view target) {
  auto files = ReadFiles(tls);
  if (!files.ok()) return files.status();
  auto verifier =
      ServerVerifier::Create(files->authorities, ExpectedName(tls, target));
  if (!verifier.ok()) {
    return WithPath(verifier.status(),
                    fmt::format("tls.ca_file: {}", files->authorities_file));
  }

  grpc::experimental::TlsChannelCredentialsOptions options;
  std::vector<grpc::experimental::IdentityKeyCertPair> own;
  if (!files->own.certificate.empty()) {
    own.push_back({.private_key = std::move(files->own.key),
                   .certificate_chain = std::move(files->own.certificate)});
    options.watch_identity_key_cert_pairs();
  }
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
          files->authorities, own));
  // In the handshake: gRPC 1.51 takes certificates apart before the verifier is
  // asked, and ends the process over some that nobody has signed.
  options.set_verify_server_certs(true);
  options.watch_root_certs();
  // The name is the verifier's.
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<Verifier>(
          *std::move(verifier)));
  return grpc::experimental::TlsCredentials(options);
}

// What a header may hold of a token: visible ASCII.
absl::Status CheckToken(std::string_view token) {
  if (token.empty()) return absl::InvalidArgumentError("is empty");
  const bool fits =
      std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; });
  return fits ? absl::OkStatus()
              : absl::InvalidArgumentError(
                    "has characters that no token has; it is one line");
}

// The token in a file, without the line's end.
absl::StatusOr<std::string> ReadToken(const std::string& file) {
  auto contents = ReadOptionFile("token_file", file);
  if (!contents.ok()) return contents.status();
  std::string_view token = *contents;
  constexpr std::string_view kBlanks = " \t\r\n";
  token.remove_prefix(std::min(token.find_first_not_of(kBlanks), token.size()));
  token = token.substr(0, token.find_last_not_of(kBlanks) + 1);
  if (absl::Status s = CheckToken(token); !s.ok()) {
    return WithPath(s, fmt::format("token_file: {}", file));
  }
  return std::string(token);
}

absl::Status CheckTls(const ClientTls& tls, std::string_view target) {
  if (tls.certificate_file.empty() != tls.private_key_file.empty()) {
    return absl::InvalidArgumentError(
        tls.certificate_file.empty()
            ? "tls.private_key_file: without a certificate_file"
            : "tls.certificate_file: without a private_key_file");
  }
  if (ExpectedName(tls, target).empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "tls.server_name: is needed, since the target {} names no host, or "
        "several",
        target));
  }
  return MakeCredentials(tls, target).status();
}

}  // namespace

absl::Status CheckCredentials(const ClientOptions& options) {
  if (options.tls) {
    if (absl::Status s = CheckTls(*options.tls, options.target); !s.ok()) {
      return s;
    }
  }
  return CheckTokens(options);
}

absl::Status CheckTokens(const ClientOptions& options) {
  if (options.token.empty() && options.token_file.empty()) {
    return absl::OkStatus();
  }
  if (!options.token.empty() && !options.token_file.empty()) {
    return absl::InvalidArgumentError(
        "token: together with token_file; a client has one of them");
  }
  if (!options.token.empty()) {
    if (absl::Status s = CheckToken(options.token); !s.ok()) {
      return WithPath(s, "token");
    }
  } else if (const auto token = ReadToken(options.token_file); !token.ok()) {
    return token.status();
  }
  const bool stays_here =
      options.http_proxy.empty() && IsOfThisMachine(options.target);
  if (options.tls || stays_here || options.insecure_token) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format(
      "token: would go to {} without encryption, for all on the way to read; "
      "set tls (messenger-cli: --tls, or --tls-ca FILE)",
      options.target));
}

void AddToken(grpc::ClientContext* context, const std::string& token) {
  context->AddMetadata("authorization", "Bearer " + token);
}

ConnectionCredentials::ConnectionCredentials(const ClientOptions& options)
    : tls_(options.tls), target_(options.target) {
  Get();
}

std::shared_ptr<grpc::ChannelCredentials> ConnectionCredentials::Get() {
  if (!tls_) return grpc::InsecureChannelCredentials();
  auto made = MakeCredentials(*tls_, target_);
  absl::MutexLock lock(&mu_);
  if (made.ok()) last_ = *std::move(made);
  return last_;
}

std::string ConnectionCredentials::server_name() const {
  return tls_ ? ExpectedName(*tls_, target_) : std::string();
}

CallToken::CallToken(const ClientOptions& options)
    : file_(options.token_file), token_(options.token) {
  absl::MutexLock lock(&mu_);
  Read();
}

CallToken::Version CallToken::AddTo(grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  Read();
  if (!token_.empty()) AddToken(context, token_);
  return version_;
}

bool CallToken::WasReplaced(Version version) {
  absl::MutexLock lock(&mu_);
  // Another call may have read the new one already.
  Read();
  return version != version_;
}

void CallToken::Read() {
  if (file_.empty()) return;
  auto token = ReadToken(file_);
  if (!token.ok() || *token == token_) return;
  token_ = *std::move(token);
  ++version_;
}

}  // namespace messenger
