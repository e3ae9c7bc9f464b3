// A TLS handshake by OpenSSL alone, which says why it fails; gRPC 1.51 does
// not.
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/cond_var.h"
#include "base/descriptor.h"
#include "base/dial.h"
#include "base/narrow.h"
#include "base/status.h"
#include "base/target.h"
#include "messenger/address.h"
#include "messenger/security_tools.h"
#include "security/client_tls.h"
#include "security/openssl.h"
#include "security/pem.h"

namespace messenger {
namespace {

// How long a server may take after the handshake to say that it does not like
// the client's certificate: TLS 1.3 has no earlier occasion.
constexpr std::chrono::milliseconds kSecondThoughts{1000};

// ---- The handshake

using SslContext = std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>>;
using SslConnection = std::unique_ptr<SSL, FreeBy<SSL_free>>;

// What OpenSSL's callbacks see of the server.
struct Seen {
  const ServerVerifier* verifier = nullptr;
  absl::Status verdict;  // of its certificate
  bool asks_for_certificate = false;
};

std::string ToPem(const STACK_OF(X509) * chain) {
  const MemoryBio pem(BIO_new(BIO_s_mem()));
  for (int i = 0; pem && i < sk_X509_num(chain); ++i) {
    PEM_write_bio_X509(pem.get(), sk_X509_value(chain, i));
  }
  char* data = nullptr;
  const auto size = pem ? BIO_get_mem_data(pem.get(), &data) : 0;
  return {data, Narrow<std::size_t>(size)};
}

int VerifyServer(X509_STORE_CTX* context, void* raw) {
  auto* const seen = static_cast<Seen*>(raw);
  seen->verdict =
      seen->verifier->Verify(ToPem(X509_STORE_CTX_get0_untrusted(context)));
  if (seen->verdict.ok()) return 1;
  X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
  return 0;
}

int NoteRequest(SSL* /*connection*/, void* raw) {
  static_cast<Seen*>(raw)->asks_for_certificate = true;
  return 1;
}

// Shows the client's own certificate, too, whose files can be used.
SslContext MakeContext(const ClientTls& tls, Seen* seen) {
  SslContext context(SSL_CTX_new(TLS_client_method()));
  constexpr std::array<unsigned char, 3> kHttp2 = {2, 'h', '2'};
  const bool is_made =
      context &&
      SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_alpn_protos(context.get(), kHttp2.data(), kHttp2.size()) ==
          0 &&
      (tls.certificate_file.empty() ||
       (SSL_CTX_use_certificate_chain_file(context.get(),
                                           tls.certificate_file.c_str()) == 1 &&
        SSL_CTX_use_PrivateKey_file(context.get(), tls.private_key_file.c_str(),
                                    SSL_FILETYPE_PEM) == 1));
  if (!is_made) return nullptr;
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context.get(), VerifyServer, seen);
  SSL_CTX_set_cert_cb(context.get(), NoteRequest, seen);
  return context;
}

// Carries what OpenSSL says and hears. It has no socket: it would raise
// SIGPIPE.
class Talk {
 public:
  enum class End { kDone, kClosed, kSilence, kPlainText, kRefused };

  Talk(SSL* connection, int fd)
      : connection_(connection),
        fd_(fd),
        heard_(BIO_new(BIO_s_mem())),
        to_say_(BIO_new(BIO_s_mem())) {
    SSL_set_bio(connection, heard_, to_say_);  // which owns them
  }

  // Repeats `step`, SSL_do_handshake or one like it, until it has ended.
  template <typename Step>
  End Run(Step step, Deadline deadline) {
    while (true) {
      ERR_clear_error();
      const int result = step(connection_);
      const int error = SSL_get_error(connection_, result);
      refusal_ = ERR_GET_REASON(ERR_peek_last_error());
      Say(deadline);
      if (result > 0) return End::kDone;
      if (error == SSL_ERROR_ZERO_RETURN) return End::kClosed;
      if (error != SSL_ERROR_WANT_READ) return End::kRefused;
      if (!AwaitSocket(fd_, POLLIN, deadline)) return End::kSilence;
      if (const auto end = Hear()) return *end;
    }
  }

  // OpenSSL's reason, if the end was kRefused.
  int refusal() const { return refusal_; }

 private:
  // If it cannot be said, that will be heard.
  void Say(Deadline deadline) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(to_say_, &data);
    std::string_view rest(data, Narrow<std::size_t>(size));
    while (!rest.empty()) {
      const ssize_t sent = send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent > 0) rest.remove_prefix(static_cast<std::size_t>(sent));
      if (sent == -1 && errno != EAGAIN && errno != EINTR) break;
      if (sent == -1 && !AwaitSocket(fd_, POLLOUT, deadline)) break;
    }
    BIO_reset(to_say_);
  }

  std::optional<End> Hear() {
    std::array<unsigned char, 16384> buffer{};
    const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
    if (size == -1 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (size <= 0) return End::kClosed;
    // Of a record of TLS: an alert, or one of the handshake.
    constexpr unsigned char kAlert = 21;
    constexpr unsigned char kHandshake = 22;
    if (std::exchange(is_first_, false) && buffer[0] != kAlert &&
        buffer[0] != kHandshake) {
      return End::kPlainText;
    }
    BIO_write(heard_, buffer.data(), Narrow<int>(size));
    return std::nullopt;
  }

  SSL* const connection_;
  const int fd_;
  BIO* const heard_;
  BIO* const to_say_;
  bool is_first_ = true;
  int refusal_ = 0;
};

// ---- What it means

// The server has ended it, and has asked for a certificate.
absl::Status OfClientCertificate(const ClientTls& tls, int refusal) {
  return absl::UnauthenticatedError(
      tls.certificate_file.empty()
          ? "the server wants a client certificate, and was shown none "
            "(messenger-cli: --tls-cert FILE --tls-key FILE)"
          : fmt::format("the server does not accept the client certificate in "
                        "{}{}",
                        tls.certificate_file,
                        refusal == SSL_R_TLSV1_ALERT_UNKNOWN_CA
                            ? ": it comes from no CA that the server trusts"
                            : ""));
}

absl::Status OfRefusal(int refusal) {
  switch (refusal) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return absl::FailedPreconditionError(
          "the server knows nothing newer than TLS 1.1; this client takes TLS "
          "1.2 and newer");
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
      return absl::FailedPreconditionError(
          "the server speaks TLS, but not HTTP/2: it is no messenger server");
    default:
      break;
  }
  const char* const reason =
      ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, refusal));
  return absl::FailedPreconditionError(
      fmt::format("the TLS handshake fails: {}",
                  reason == nullptr ? "OpenSSL does not say why" : reason));
}

// Of an end other than kDone.
absl::Status MeaningOf(Talk::End end, int refusal, const Seen& seen,
                       const ClientTls& tls) {
  if (!seen.verdict.ok()) return seen.verdict;
  switch (end) {
    case Talk::End::kSilence:
      return absl::DeadlineExceededError(
          "it takes connections, but does not answer a TLS handshake in time");
    case Talk::End::kPlainText:
      return absl::FailedPreconditionError(
          "it answers without TLS: it is a server without a certificate "
          "(messenger-server: --tls-cert, --tls-key), or no messenger server");
    default:
      break;
  }
  if (seen.asks_for_certificate) return OfClientCertificate(tls, refusal);
  if (end == Talk::End::kRefused) return OfRefusal(refusal);
  return absl::UnavailableError(
      "it closes the connection in the TLS handshake, and does not say why");
}

// What happens on a connection to the server.
absl::Status Examine(int fd, const ServerVerifier& verifier,
                     const std::string& name, const ClientTls& tls,
                     Deadline deadline) {
  Seen seen = {.verifier = &verifier};
  const SslContext context = MakeContext(tls, &seen);
  const SslConnection connection(context ? SSL_new(context.get()) : nullptr);
  if (!connection) return absl::InternalError("OpenSSL cannot set up TLS");
  SSL_set_connect_state(connection.get());
  if (!IsNumericHost(name)) {
    std::string host = name;
    // What SSL_set_tlsext_host_name is, without a cast of C's.
    SSL_ctrl(connection.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
             TLSEXT_NAMETYPE_host_name, host.data());
  }
  Talk talk(connection.get(), fd);
  Talk::End end = talk.Run(SSL_do_handshake, deadline);
  if (end != Talk::End::kDone) {
    return MeaningOf(end, talk.refusal(), seen, tls);
  }
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(connection.get(), &protocol, &size);
  if (size == 0) return OfRefusal(SSL_R_NO_APPLICATION_PROTOCOL);
  // A server of HTTP/2 speaks first.
  const auto peek = [](SSL* ssl) {
    char byte = 0;
    return SSL_peek(ssl, &byte, 1);
  };
  end = talk.Run(peek, std::min(deadline, CondVar::After(kSecondThoughts)));
  return end == Talk::End::kDone || end == Talk::End::kSilence
             ? absl::OkStatus()
             : MeaningOf(end, talk.refusal(), seen, tls);
}

absl::Status TryDiagnoseTls(std::string_view target, const ClientTls& tls,
                            Deadline deadline) {
  const absl::StatusOr<std::string> whole = ParseTarget(target);
  if (!whole.ok()) return WithPath(whole.status(), "target");
  const std::vector<Address> addresses = AddressesOf(*whole);
  const bool has_name_server =
      whole->starts_with("dns://") && !whole->starts_with("dns:///");
  if (addresses.empty() || has_name_server) return absl::OkStatus();
  const absl::StatusOr<ClientTlsFiles> files = ReadFiles(tls);
  if (!files.ok()) return files.status();
  const std::string name = ExpectedName(tls, *whole);
  if (name.empty()) {
    return absl::InvalidArgumentError("tls.server_name: is needed");
  }
  const auto verifier = ServerVerifier::Create(files->authorities, name);
  if (!verifier.ok()) {
    return WithPath(verifier.status(),
                    fmt::format("tls.ca_file: {}", files->authorities_file));
  }
  const absl::StatusOr<Descriptor> fd = Dial(addresses, deadline);
  if (!fd.ok()) return fd.status();
  absl::Status s = Examine(fd->get(), *verifier, name, tls, deadline);
  ERR_clear_error();
  return s;
}

}  // namespace

absl::Status DiagnoseTls(std::string_view target, const ClientTls& tls,
                         std::chrono::milliseconds timeout) {
  return MakePrintable(TryDiagnoseTls(target, tls, CondVar::After(timeout)));
}

}  // namespace messenger
